"""The applications that somebody allowed to act for them, and how to stop them."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views import View

from apps.accounts.models import User
from apps.oauth import scopes, services
from apps.oauth.models import Application, RefreshToken
from apps.oauth.views.pages import page


@method_decorator(login_required, name="dispatch")
class AllowedView(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return page(request, "allowed", {"allowed": _allowed(request.user)})

    def post(self, request: HttpRequest) -> HttpResponse:
        number = request.POST.get("application", "")
        held = {each["application"].pk: each["application"] for each in _allowed(request.user)}
        application: Application | None = held.get(int(number) if number.isdecimal() else 0)
        if application is None:
            raise Http404
        services.revoke_for_person(user=cast(User, request.user), application=application)
        messages.success(request, f"{application} may not act for you any more.")
        return redirect("oauth:allowed")


def _allowed(user: Any) -> list[dict[str, Any]]:
    """One entry an application: since when, last refreshed, and what it may do."""
    grants = (
        RefreshToken.objects.filter(user=user, revoked=None)
        .exclude(access_token=None)
        .select_related("application__payer__team", "access_token")
        .order_by("application__name", "created")
    )
    found: dict[int, dict[str, Any]] = {}
    for grant in grants:
        given = set(grant.access_token.scope.split()) if grant.access_token else set()
        entry = found.setdefault(
            grant.application_id,
            {"application": grant.application, "scopes": set(), "since": grant.created},
        )
        entry["scopes"] |= given
        entry["last"] = grant.created
    for entry in found.values():
        entry["words"] = [scopes.in_words(one) for one in scopes.ORDER if one in entry["scopes"]]
    return list(found.values())
