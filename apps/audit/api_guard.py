"""The net under the management API: a change that no service has recorded is recorded here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from apps.audit import trail

PREFIX: Final = "/api/v1/"
_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")

Answer = Callable[[HttpRequest], HttpResponse]


def recorded_api(answer: Answer) -> Answer:
    """After the middleware that knows who acts. A view whose POST changes nothing says so by
    `changes_nothing = True`."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.method in _SAFE or not request.path.startswith(PREFIX):
            return answer(request)
        count = trail.recorded()
        response = answer(request)
        is_done = response.status_code < 400 and trail.recorded() == count
        if is_done and not _changes_nothing(request):
            record_unnamed(request)
        return response

    return middleware


def record_unnamed(request: HttpRequest) -> None:
    """Only known by its route: services should say more, and a test holds ours to that."""
    match = request.resolver_match
    route = match.route if match is not None else request.path
    trail.record("api.changed", after={"method": request.method, "route": route})


def _changes_nothing(request: HttpRequest) -> bool:
    view: Any = getattr(request.resolver_match, "func", None)
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    return bool(getattr(kind, "changes_nothing", False))
