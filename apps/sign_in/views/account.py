"""A person's own page: second factors, sessions, identities at outside providers."""

from __future__ import annotations

from typing import Any

from allauth.account.utils import get_next_redirect_url
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import AddWebAuthnView, RemoveWebAuthnView
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import PasswordChangeView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse, reverse_lazy
from django.views.decorators.http import require_POST
from unfold.forms import AdminOwnPasswordChangeForm

from apps.accounts.throttle import Throttled
from apps.audit import trail
from apps.sign_in import second_factor, services
from apps.sign_in.forms import dress
from apps.sign_in.models import PersonSession
from apps.sign_in.sessions import digest_of
from apps.sign_in.views.look import Look, page
from apps.sign_in.views.outside import buttons


@login_required
def account(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    factors = list(Authenticator.objects.filter(user=user).order_by("created_at"))
    mine = services.sessions_of(user).order_by("-seen_at")
    return page(
        request,
        "sign_in/account.html",
        "Your account",
        totp=[each for each in factors if each.type == Authenticator.Type.TOTP],
        security_keys=[each for each in factors if each.type == Authenticator.Type.WEBAUTHN],
        recovery=[each for each in factors if each.type == Authenticator.Type.RECOVERY_CODES],
        identities=list(user.identities.select_related("provider")),
        providers=buttons(),
        must_enrol=second_factor.must_enrol(user),
        sessions=list(mine),
        this_session=digest_of(request.session.session_key or ""),
        may_enter_admin=admin.site.has_permission(request),
    )


@login_required
@require_POST
def end_session(request: HttpRequest, digest: str) -> HttpResponse:
    """One of one's own; a foreign one does not exist."""
    session = get_object_or_404(PersonSession, pk=digest, user=request.user)
    services.end_sessions(sessions=[session])
    messages.success(request, "That session was ended.")
    return redirect("sign_in_account")


@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    count = services.sign_out_everywhere(user=user, but=request.session.session_key)
    messages.success(request, f"{count} other sessions were ended.")
    return redirect("sign_in_account")


def _record(request: HttpRequest, action: str, **what: Any) -> None:
    user: Any = request.user
    trail.record(action, target=user, **what)


class AddTotp(Throttled, Look, ActivateTOTPView):
    throttle_group = "second_factor"
    template_name = "sign_in/add_totp.html"
    title = "Add an authenticator app"

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(*args, **kwargs)
        form.fields["code"].label = "Code from the app"
        form.fields["code"].widget.attrs.update(inputmode="numeric", autofocus=True)
        dress(form)
        return form

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        _record(self.request, "second_factor.added", after={"kind": "totp"})
        return response


class RemoveTotp(Look, DeactivateTOTPView):
    template_name = "sign_in/remove_factor.html"
    title = "Remove the authenticator app"

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        _record(self.request, "second_factor.removed", before={"kind": "totp"})
        return response


class AddSecurityKey(Look, AddWebAuthnView):
    template_name = "sign_in/add_key.html"
    title = "Add a security key"

    def get_form(self, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(*args, **kwargs)
        form.fields["name"].label = "Name of the key"
        form.fields["name"].max_length = 100
        dress(form)
        return form

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        _record(self.request, "second_factor.added", after={"kind": "webauthn"})
        return response


class RemoveSecurityKey(Look, RemoveWebAuthnView):
    template_name = "sign_in/remove_factor.html"
    title = "Remove the security key"
    success_url = reverse_lazy("sign_in_account")

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        _record(self.request, "second_factor.removed", before={"kind": "webauthn"})
        return super().form_valid(form)


class RecoveryCodes(Look, ViewRecoveryCodesView):
    template_name = "sign_in/recovery_codes.html"
    title = "Recovery codes"


class NewRecoveryCodes(Look, GenerateRecoveryCodesView):
    template_name = "sign_in/new_recovery_codes.html"
    title = "New recovery codes"

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        _record(self.request, "second_factor.recovery_codes")
        return super().form_valid(form)


class ChangePassword(Throttled, Look, PasswordChangeView):
    """Other sessions of the person end with it."""

    throttle_group = "password"
    template_name = "sign_in/change_password.html"
    title = "Change your password"
    form_class = AdminOwnPasswordChangeForm

    def throttle_account(self, request: HttpRequest) -> str | None:
        return getattr(request.user, "username", None)

    @transaction.atomic
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        services.password_was_changed(user=form.user, but=self.request.session.session_key)
        messages.success(self.request, "Your password was changed; your other sessions ended.")
        return response

    def get_success_url(self) -> str:
        return get_next_redirect_url(self.request) or reverse("sign_in_account")
