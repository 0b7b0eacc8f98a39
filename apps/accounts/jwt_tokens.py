"""Our JWTs, made with djangorestframework-simplejwt and signed by the key that signs now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError
from rest_framework_simplejwt.tokens import Token

from apps.accounts import signing
from chatvault.lib.errors import Unauthenticated

ACCESS: Final = "access"
REFRESH: Final = "refresh"
_TYPES: Final = {ACCESS: "at+jwt", REFRESH: "JWT"}


class KeyRing(TokenBackend):
    """Signs with the newest key and names it; checks as the gateway does, by the same code."""

    def __init__(self) -> None:
        super().__init__("ES256")  # of a name only: every key has its own

    def encode(self, payload: dict[str, Any]) -> str:
        tokens = settings.CHATVAULT.tokens
        key = signing.signing_key()
        return jwt.encode(
            {**payload, "iss": tokens.issuer, "aud": tokens.audience},
            signing.private_of(key).reveal(),
            algorithm=key.algorithm,
            headers={"kid": key.kid, "typ": _TYPES[payload["token_type"]]},
        )

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        """Raises TokenBackendError; there is no way to read a token without checking it."""
        text = token.decode() if isinstance(token, bytes) else str(token)
        try:
            claims = signing.verifier().verify(text)
        except Unauthenticated as refused:
            raise TokenBackendError("Token is invalid") from refused
        if claims["issuer_id"] != 0:
            raise TokenBackendError("Token is invalid")
        return claims


class _OurToken(Token):
    _token_backend = KeyRing()

    def get_token_backend(self) -> KeyRing:
        return self._token_backend


class AccessToken(_OurToken):
    """Shown to the API and to models; lives for minutes (RFC 9068)."""

    token_type = ACCESS

    @property
    def lifetime(self) -> timedelta:  # type: ignore[override]
        return timedelta(seconds=settings.CHATVAULT.tokens.access_lifetime_s)


class RefreshToken(_OurToken):
    """Shown once, for the next pair."""

    token_type = REFRESH

    @property
    def lifetime(self) -> timedelta:  # type: ignore[override]
        return timedelta(seconds=settings.CHATVAULT.tokens.refresh_lifetime_s)
