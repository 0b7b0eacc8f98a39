"""What a client finds by itself: the server (RFC 8414, OpenID Connect Discovery), the resource
(RFC 9728) and the keys."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from apps.accounts import signing
from apps.oauth import scopes
from apps.oauth.issuer import issuer_of

_METHODS = ["client_secret_basic", "client_secret_post"]


@require_safe
def authorization_server(request: HttpRequest) -> HttpResponse:
    """RFC 8414 §3."""
    return _public(_server(request))


@require_safe
def openid_configuration(request: HttpRequest) -> HttpResponse:
    """OpenID Connect Discovery §3: the same document and what it adds."""
    key = signing.signing_key()
    algorithms = {key["alg"] for key in signing.jwks()["keys"]} | {key.algorithm}
    more = {
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted(algorithms),
        "userinfo_endpoint": _at(request, "oauth:userinfo"),
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce",
            "name", "preferred_username", "email",
        ],
        "prompt_values_supported": ["none", "login", "consent"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }  # fmt: skip
    return _public(_server(request) | more)


@require_safe
def protected_resource(request: HttpRequest, path: str = "") -> HttpResponse:
    """RFC 9728 §3: for the whole installation, or for one part of it, such as `v1`."""
    issuer = issuer_of(request)
    return _public(
        {
            "resource": f"{issuer}/{path}" if path else issuer,
            "authorization_servers": [issuer],
            "scopes_supported": [one for one in scopes.ORDER if one not in scopes.IDENTITY],
            "bearer_methods_supported": ["header"],
            "resource_name": "ChatVault",
        }
    )


@require_safe
def jwks(request: HttpRequest) -> HttpResponse:
    """RFC 7517 §5, of the keys that check ID tokens."""
    return _public(signing.jwks())


def _server(request: HttpRequest) -> dict[str, Any]:
    return {
        "issuer": issuer_of(request),
        "authorization_endpoint": _at(request, "oauth:authorize"),
        "token_endpoint": _at(request, "oauth:token"),
        "device_authorization_endpoint": _at(request, "oauth:device-authorization"),
        "revocation_endpoint": _at(request, "oauth:revoke"),
        "introspection_endpoint": _at(request, "oauth:introspect"),
        "registration_endpoint": _at(request, "oauth:register"),
        "jwks_uri": _at(request, "oauth-jwks"),
        "scopes_supported": list(scopes.ORDER),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [
            "authorization_code",
            "client_credentials",
            "refresh_token",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "token_endpoint_auth_methods_supported": [*_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": _METHODS,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }


def _at(request: HttpRequest, name: str) -> str:
    return issuer_of(request) + reverse(name)


def _public(document: dict[str, Any]) -> HttpResponse:
    """Nothing in it is anybody's secret: every page may read it."""
    response = JsonResponse(document)
    response["Access-Control-Allow-Origin"] = "*"
    response["Cache-Control"] = "public, max-age=300"
    return response
