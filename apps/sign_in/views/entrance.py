"""The one sign-in page, the second factor, and proving again who one is."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.utils import get_next_redirect_url
from allauth.account.views import LoginView, LogoutView, ReauthenticateView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.base.views import ReauthenticateView as CodeReauthenticateView
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.views import ReauthenticateWebAuthnView
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from apps.accounts.throttle import Throttled
from apps.sign_in import sessions
from apps.sign_in.models import IdentityProvider
from apps.sign_in.views.look import Look, page
from apps.sign_in.views.outside import buttons


class SignIn(Throttled, Look, LoginView):
    """By password here, or with an outside provider; also where the admin sends people."""

    throttle_group = "sign_in"
    template_name = "sign_in/sign_in.html"
    title = "Sign in"

    def throttle_account(self, request: HttpRequest) -> str | None:
        return request.POST.get("username")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated:
            return self._signed_in_already(request)
        return super().dispatch(request, *args, **kwargs)

    def _signed_in_already(self, request: HttpRequest) -> HttpResponse:
        wanted = get_next_redirect_url(request) or reverse("admin:index")
        is_of_admin = wanted.startswith(reverse("admin:index"))
        if is_of_admin and not admin.site.has_permission(request):
            return page(request, "sign_in/no_access.html", "No access", status=403)
        return redirect(wanted)

    def form_valid(self, form: Any) -> HttpResponse:
        self.request.session[sessions.WAY] = "password"
        response: HttpResponse = super().form_valid(form)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            next=get_next_redirect_url(self.request) or "",
            can_reset=settings.CHATVAULT.mail.is_used,
            providers=buttons(),
            **kwargs,
        )


class SignOut(Look, LogoutView):
    template_name = "sign_in/sign_out.html"
    title = "Sign out"


class SecondFactor(Throttled, Look, AuthenticateView):
    """Between the password and being signed in."""

    throttle_group = "second_factor"
    template_name = "sign_in/second_factor.html"
    title = "Second factor"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        mine = Authenticator.objects.filter(user=self.stage.login.user)
        kinds = set(mine.values_list("type", flat=True))
        return super().get_context_data(kinds=kinds, **kwargs) | {"kinds": kinds}


class Again(Throttled, Look, ReauthenticateView):
    throttle_group = "sign_in"
    template_name = "sign_in/again.html"
    title = "Is it you?"

    def throttle_account(self, request: HttpRequest) -> str | None:
        return getattr(request.user, "username", None)


class AgainByCode(Throttled, Look, CodeReauthenticateView):
    throttle_group = "second_factor"
    template_name = "sign_in/again.html"
    title = "Is it you?"


class AgainByKey(Throttled, Look, ReauthenticateWebAuthnView):
    throttle_group = "second_factor"
    template_name = "sign_in/again.html"
    title = "Is it you?"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)
        options = get_adapter().get_reauthentication_methods(self.request.user)
        others = [each for each in options if each["url"] != self.request.path]
        return {"form": self.get_form(), "reauthentication_alternatives": others, **found}


@login_required
def again(request: HttpRequest) -> HttpResponse:
    """To the first way that this person has; who has none comes from an outside provider."""
    wanted = get_next_redirect_url(request) or reverse("admin:index")
    methods = get_adapter().get_reauthentication_methods(request.user)
    if methods:
        return redirect(f"{methods[0]['url']}?{urlencode({'next': wanted})}")
    mine = [each for each in buttons() if _is_of(each, request)]
    return page(request, "sign_in/again_outside.html", "Is it you?", next=wanted, providers=mine)


def _is_of(provider: IdentityProvider, request: HttpRequest) -> bool:
    return provider.identities.filter(user_id=request.user.pk or 0).exists()
