"""Dynamic registration: `/oauth/register` and the address of each registration."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.utils import parse_bearer_token

from apps.accounts.throttle import Throttled
from apps.audit.acting import Actor, acting
from apps.oauth import registration, services
from apps.oauth.generators import digest
from apps.oauth.issuer import issuer_of
from apps.oauth.models import Application
from apps.oauth.views.token import as_json, unkept
from chatvault.lib.redact import Secret

_MOST_BYTES = 64 * 1024


class _Registering(Throttled, View):
    """Refusals as RFC 7591 §3.2.2 and RFC 6750 §3 tell them."""

    throttle_group = "registration"
    throttled_methods = ("POST", "PUT", "DELETE", "GET")

    def throttle_account(self, request: HttpRequest) -> str | None:
        token = _token(request)
        return digest(token) if token else None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        who = Actor("oauth", "an application", None, request.META.get("REMOTE_ADDR") or None)
        try:
            with acting(who):
                response = super().dispatch(request, *args, **kwargs)
        except registration.NotAllowed:
            response = _refused(401, "invalid_token", "The access token is missing or not valid.")
            response["WWW-Authenticate"] = (
                'Bearer error="invalid_token"' if _token(request) else "Bearer"
            )
        except registration.Refused as refused:
            response = _refused(400, refused.error, refused.description)
        return unkept(response)


@method_decorator(csrf_exempt, name="dispatch")
class RegisterView(_Registering):
    """RFC 7591 §3, for who shows an initial access token."""

    def post(self, request: HttpRequest) -> HttpResponse:
        token = _token(request)
        registration.check(token=token)
        issued, access = registration.register(token=token, metadata=_metadata(request))
        return _answer(request, issued, access, status=201)


@method_decorator(csrf_exempt, name="dispatch")
class RegistrationView(_Registering):
    """RFC 7592 §2, for who shows the registration access token of this application."""

    def get(self, request: HttpRequest, client_id: str) -> HttpResponse:
        found = registration.find(client_id=client_id, token=_token(request))
        return _answer(request, services.Issued(found, None), Secret(_token(request)))

    def put(self, request: HttpRequest, client_id: str) -> HttpResponse:
        found = registration.find(client_id=client_id, token=_token(request))
        issued, access = registration.update(application=found, metadata=_metadata(request))
        return _answer(request, issued, access)

    def delete(self, request: HttpRequest, client_id: str) -> HttpResponse:
        found = registration.find(client_id=client_id, token=_token(request))
        services.end_application(application=found)
        return HttpResponse(status=204)


def _token(request: HttpRequest) -> str:
    return parse_bearer_token(request.headers.get("authorization", "")) or ""


def _metadata(request: HttpRequest) -> dict[str, Any]:
    if request.content_type != "application/json":
        raise registration.Refused("Send a JSON object as application/json.")
    body = request.body if len(request.body) <= _MOST_BYTES else b""
    found = as_json(body)
    if found is None:
        raise registration.Refused("The body must be a JSON object of at most 64 KiB.")
    return found


def _refused(status: int, error: str, description: str) -> HttpResponse:
    return JsonResponse({"error": error, "error_description": description}, status=status)


def _answer(
    request: HttpRequest, issued: services.Issued, access: Secret, status: int = 200
) -> HttpResponse:
    application: Application = issued.application
    address = issuer_of(request) + reverse("oauth:registration", args=[application.client_id])
    told = registration.answer(
        application, secret=issued.secret, registration=access.reveal(), address=address
    )
    return JsonResponse(told, status=status)
