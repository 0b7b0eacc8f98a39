"""The device flow (RFC 8628): a device shows a code, a person enters it here and allows it."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.views.device import DeviceAuthorizationView
from oauthlib.oauth2 import DeviceApplicationServer

from apps.accounts import permissions
from apps.accounts.throttle import Throttled
from apps.audit import trail
from apps.oauth import scopes
from apps.oauth.generators import as_typed, digest, in_groups, peppered, user_code
from apps.oauth.issuer import issuer_of
from apps.oauth.models import Application, DeviceGrant
from apps.oauth.views.pages import page
from apps.oauth.views.token import OfMachines
from chatvault.lib import clock
from chatvault.lib.writer import hold_writer

ENTERED: Final = "oauth_device"


@method_decorator(csrf_exempt, name="dispatch")
class DeviceCodesView(OfMachines, DeviceAuthorizationView):
    """RFC 8628 §3.1, §3.2."""

    throttle_group = "token"
    server_class = DeviceApplicationServer

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.content_type != "application/x-www-form-urlencoded":
            return _refused("invalid_request", "Send application/x-www-form-urlencoded.")
        _, body, status = self.create_device_authorization_response(request)
        if status != 200:
            return HttpResponse(body, status=status, content_type="application/json")
        application = Application.objects.select_related("payer__team").get(
            client_id=request.POST["client_id"]
        )
        if application.authorization_grant_type != Application.GRANT_DEVICE_CODE:
            return _refused("unauthorized_client", "The application does not use this flow.")
        offered = scopes.OfferedScopes().get_available_scopes(application)
        wanted = request.POST.get("scope", "").split() or offered
        if not set(wanted) <= set(offered):
            return _refused("invalid_scope", "The application may not ask for all of this.")
        return JsonResponse(_begin(request, application, wanted))


def _begin(request: HttpRequest, application: Application, wanted: list[str]) -> dict[str, Any]:
    oauth = settings.CHATVAULT.oauth
    device_code, shown = secrets.token_urlsafe(48), user_code()
    DeviceGrant.objects.create(
        client_id=application.client_id,
        device_code=digest(device_code),
        user_code=peppered(shown),
        scope=" ".join(wanted),
        interval=oauth.device_interval_s,
        expires=clock.now() + timedelta(seconds=oauth.device_code_lifetime_s),
    )
    page_url = issuer_of(request) + reverse("oauth:device")
    return {
        "device_code": device_code,
        "user_code": in_groups(shown),
        "verification_uri": page_url,
        "verification_uri_complete": f"{page_url}?user_code={in_groups(shown)}",
        "expires_in": oauth.device_code_lifetime_s,
        "interval": oauth.device_interval_s,
    }


def _refused(error: str, description: str) -> HttpResponse:
    return JsonResponse({"error": error, "error_description": description}, status=400)


class CodeForm(forms.Form):
    user_code = forms.CharField(label="Code", max_length=32)

    def clean_user_code(self) -> DeviceGrant:
        """One answer for a wrong, an old and a used code."""
        typed = as_typed(self.cleaned_data["user_code"])
        device = DeviceGrant.objects.filter(
            user_code=peppered(typed),
            status=DeviceGrant.AUTHORIZATION_PENDING,
            expires__gt=clock.now(),
        ).first()
        if device is None:
            raise forms.ValidationError(
                "No device waits with this code. Compare it with what the device shows, or let "
                "the device show a new one."
            )
        return device


@method_decorator(login_required, name="dispatch")
class EnterCodeView(Throttled, View):
    """RFC 8628 §3.3. An address that holds the code fills it in and decides nothing."""

    throttle_group = "device"

    def throttle_account(self, request: HttpRequest) -> str | None:
        return f"user:{request.user.pk}" if request.user.is_authenticated else None

    def get(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(initial={"user_code": request.GET.get("user_code", "")[:32]})
        return page(request, "device_code", {"form": form})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST)
        if not form.is_valid():
            return page(request, "device_code", {"form": form}, status=400)
        request.session[ENTERED] = form.cleaned_data["user_code"].pk
        return redirect("oauth:device-decide")


@method_decorator(login_required, name="dispatch")
class DecideView(Throttled, View):
    """Only who entered the code can answer for it, once; the answer binds the device to them."""

    throttle_group = "device"

    def get(self, request: HttpRequest) -> HttpResponse:
        found = _entered(request)
        if found is None:
            return redirect("oauth:device")
        device, application = found
        given = _given(request, device, application)
        return page(
            request,
            "device_decide",
            {
                "application": application,
                "payer": application.payer,
                "team": application.payer.team,
                "powers": [scopes.in_words(one) for one in given],
                "withheld": [
                    scopes.in_words(one) for one in device.scope.split() if one not in given
                ],
                "calls_models": "inference" in given or "admin" in given,
            },
            status=200 if given else 403,
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        found = _entered(request)
        if found is None:
            return redirect("oauth:device")
        device, application = found
        given = _given(request, device, application)
        is_allowed = request.POST.get("decision") == "allow" and bool(given)
        is_decided = _decide(request, device, application, given if is_allowed else ())
        del request.session[ENTERED]
        if not is_decided:
            return redirect("oauth:device")
        context = {"application": application, "is_allowed": is_allowed}
        return page(request, "device_done", context)


def _entered(request: HttpRequest) -> tuple[DeviceGrant, Application] | None:
    device = DeviceGrant.objects.filter(
        pk=int(request.session.get(ENTERED) or 0),
        status=DeviceGrant.AUTHORIZATION_PENDING,
        expires__gt=clock.now(),
    ).first()
    if device is None:
        return None
    application = (
        Application.objects.select_related("payer__team").filter(client_id=device.client_id).first()
    )
    if application is None or not application.is_usable(request):
        return None
    return device, application


def _given(request: HttpRequest, device: DeviceGrant, application: Application) -> tuple[str, ...]:
    who = permissions.principal_of(request.user)
    given = scopes.narrowed(device.scope.split(), application, who)
    asked_for_power = set(device.scope.split()) - set(scopes.IDENTITY)
    return given if set(given) - set(scopes.IDENTITY) or not asked_for_power else ()


@transaction.atomic
def _decide(
    request: HttpRequest, device: DeviceGrant, application: Application, given: tuple[str, ...]
) -> bool:
    """Whether it was still to be decided."""
    hold_writer()
    waiting = DeviceGrant.objects.filter(
        pk=device.pk, status=DeviceGrant.AUTHORIZATION_PENDING, expires__gt=clock.now()
    )
    status = DeviceGrant.AUTHORIZED if given else DeviceGrant.DENIED
    if not waiting.update(status=status, user=request.user, scope=" ".join(given)):
        return False
    trail.record(
        "oauth.device_allowed" if given else "oauth.device_denied",
        target=application,
        team_id=application.team_id,
        after={"scopes": list(given), "client": application.payer.name},
    )
    return True
