"""The token, revocation, introspection and userinfo endpoints: machines ask them."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from oauth2_provider.views.base import RevokeTokenView, TokenView
from oauth2_provider.views.oidc import UserInfoView

from apps.accounts.throttle import Throttled
from apps.oauth import clients
from apps.oauth.generators import digest
from apps.oauth.issuer import issuer_of
from apps.oauth.models import AccessToken, Application, RefreshToken

_SECRETS: Final = (
    "client_secret", "code", "code_verifier", "refresh_token", "device_code", "token",
)  # fmt: skip


class OfMachines(Throttled):
    """Counted by address and by the client that is named; what it answers is kept by nobody."""

    http_method_names: ClassVar[Any] = ["post", "options"]

    def throttle_account(self, request: HttpRequest) -> str | None:
        return clients.named(request) or None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        response = super().dispatch(request, *args, **kwargs)
        return unkept(response)


def unkept(response: Any) -> Any:
    response["Cache-Control"] = "no-store"  # RFC 6749 §5.1
    response["Pragma"] = "no-cache"
    return response


@method_decorator(csrf_exempt, name="dispatch")
@method_decorator(sensitive_post_parameters(*_SECRETS), name="dispatch")
class IssueView(OfMachines, TokenView):
    throttle_group = "token"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Devices are answered like everybody: by the validator, once they are known."""
        _, headers, body, status = self.create_token_response(request)
        response = HttpResponse(content=body, status=status, content_type="application/json")
        for name, value in headers.items():
            response[name] = value
        if status == 401 and "WWW-Authenticate" not in response:
            response["WWW-Authenticate"] = 'Basic realm="oauth"'  # RFC 6749 §5.2
        return response


@method_decorator(csrf_exempt, name="dispatch")
@method_decorator(sensitive_post_parameters(*_SECRETS), name="dispatch")
class RevokeView(OfMachines, RevokeTokenView):
    throttle_group = "introspection"


@method_decorator(csrf_exempt, name="dispatch")
class WhoView(UserInfoView):
    """OpenID Connect Core §5.3."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().dispatch(request, *args, **kwargs)
        return unkept(response)


@method_decorator(csrf_exempt, name="dispatch")
@method_decorator(sensitive_post_parameters(*_SECRETS), name="dispatch")
class IntrospectView(OfMachines, View):
    """RFC 7662, for confidential applications, about tokens of their own team."""

    throttle_group = "introspection"

    def post(self, request: HttpRequest) -> HttpResponse:
        application = clients.authenticated(request)
        if application is None:
            response = JsonResponse({"error": "invalid_client"}, status=401)
            response["WWW-Authenticate"] = 'Basic realm="oauth"'
            return response
        token = request.POST.get("token")
        if not token:
            return JsonResponse(
                {"error": "invalid_request", "error_description": "Send the token to ask about."},
                status=400,
            )
        return JsonResponse(self._told(request, token, application))

    def _told(self, request: HttpRequest, token: str, asking: Application) -> dict[str, Any]:
        """Of another team's token the same as of none: nothing (RFC 7662 §4)."""
        related = ("application__payer__team", "user")
        checksum = digest(token)
        row: Any = (
            AccessToken.objects.select_related(*related).filter(token_checksum=checksum).first()
        )
        kind = "Bearer"
        if row is None:
            kind = "refresh_token"
            live = RefreshToken.objects.select_related("access_token", *related)
            row = live.filter(token_checksum=checksum, revoked=None).first()
        access = row if kind == "Bearer" else getattr(row, "access_token", None)
        if row is None or access is None or row.application.team_id != asking.team_id:
            return {"active": False}
        is_held = row.user is None or row.user.is_active
        is_live = is_held if kind == "refresh_token" else row.is_valid()
        if not is_live or not row.application.is_usable(None):
            return {"active": False}
        told = {
            "active": True,
            "scope": access.scope,
            "client_id": row.application.client_id,
            "token_type": kind,
            "iat": int(row.created.timestamp()),
            "aud": row.resource,
            "iss": issuer_of(request),
        }
        if kind == "Bearer":
            told["exp"] = int(row.expires.timestamp())
        if row.user is not None:
            told |= {"sub": str(row.user_id), "username": row.user.get_username()}
        return told


def as_json(body: bytes) -> dict[str, Any] | None:
    """An object, or None."""
    try:
        found = json.loads(body)
    except (ValueError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
