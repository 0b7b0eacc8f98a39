"""Who issues, and for whom: the address of this installation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from oauth2_provider.oauth2_validators import validate_resource_as_url_prefix


def issuer_of(request: HttpRequest) -> str:
    """The `iss` of what is issued (RFC 8414 §2, RFC 9207): the one that is set, else the address
    that was asked, whose host Django has checked."""
    issuer: str = settings.CHATVAULT.oauth.issuer
    return issuer or request.build_absolute_uri("/").rstrip("/")


def is_ours(resource: Any, issuer: str) -> bool:
    """Whether a token for this resource (RFC 8707) may call ChatVault."""
    return bool(isinstance(resource, str) and validate_resource_as_url_prefix(resource, [issuer]))


def is_elsewhere(resource: Any) -> bool:
    """Whether it is one of CHATVAULT_OAUTH_OTHER_RESOURCES."""
    others = list(settings.CHATVAULT.oauth.other_resources)
    return bool(others) and bool(validate_resource_as_url_prefix(resource, others))
