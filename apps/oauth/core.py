"""Between Django's requests and oauthlib's."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from oauth2_provider.oauth2_backends import OAuthLibCore

from apps.oauth.issuer import issuer_of

ISSUER: Final = "chatvault.issuer"
SIGNED_IN: Final = "chatvault.signed_in"


class Core(OAuthLibCore):
    """Hands on who issues, and whether somebody is signed in: no header has these names."""

    def extract_headers(self, request: HttpRequest) -> dict[str, Any]:
        headers: dict[str, Any] = super().extract_headers(request)
        headers[ISSUER] = issuer_of(request)
        user = getattr(request, "user", None)
        headers[SIGNED_IN] = bool(user is not None and user.is_authenticated)
        return headers
