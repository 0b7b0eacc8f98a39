"""Who is signed in is the actor of what a page changes, and sees no rows of other teams."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cache

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.accounts.permissions import principal_of
from apps.accounts.principals import Principal
from apps.audit.acting import Actor, acting
from chatvault.lib import tenancy

Answer = Callable[[HttpRequest], HttpResponse]


def acting_person(answer: Answer) -> Answer:
    """After the session is known; the API sets its own actor, who may be a machine."""

    def middleware(request: HttpRequest) -> HttpResponse:
        address = request.META.get("REMOTE_ADDR") or None
        user = request.user
        if user.is_authenticated:
            actor = Actor("person", user.get_username(), user.pk, address)
        else:
            actor = Actor("anonymous", "not signed in", None, address)
        with acting(actor):
            return answer(request)

    return middleware


def limited_rows(answer: Answer) -> Answer:
    """The second wall: on PostgreSQL a request of somebody who has roles in teams alone finds the
    rows of these teams only, also by a query that nobody thought to limit.

    Pages of the admin are limited at once. The API learns later who asks, and calls `limit_rows`.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        with ExitStack() as stack:
            request.row_limits = stack  # type: ignore[attr-defined]
            if request.path.startswith(_admin()) and request.user.is_authenticated:
                limit_rows(request, principal_of(request.user))
            return answer(request)

    return middleware


def limit_rows(request: HttpRequest, who: Principal) -> None:
    """From now on until the answer is made. Again, it changes nothing."""
    stack: ExitStack | None = getattr(request, "row_limits", None)
    if stack is None or who.teams is None or getattr(request, "is_row_limited", False):
        return
    request.is_row_limited = True  # type: ignore[attr-defined]
    stack.enter_context(tenancy.limited_to(who.teams))


@cache
def _admin() -> str:
    return reverse("admin:index")
