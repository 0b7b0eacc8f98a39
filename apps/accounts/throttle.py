"""How often the control plane's endpoints may be asked: by one address, and for one account.

Django views wear `throttled` or inherit `Throttled`; views of the REST framework name
`EndpointThrottle`. All count in one place (django-ratelimit, fixed windows) and answer 429 with
`retry-after`: a page, OpenAI's envelope, or OAuth's (RFC 6749 §5.2), as callers of that endpoint
expect. Counts are shared through Redis; without it one process serves, and counts by itself.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Container, Iterable
from hashlib import sha256
from typing import Any, Concatenate, Final, Literal, ParamSpec

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django_ratelimit.core import get_usage
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from chatvault.lib.addresses import counted_as
from chatvault.lib.errors import TooManyAttempts

log = logging.getLogger(__name__)

Group = Literal[
    "sign_in", "second_factor", "password", "token", "authorization", "registration",
    "introspection", "device", "export", "api", "report",
]  # fmt: skip
"""Endpoints that are counted together; CHATVAULT_THROTTLE_<GROUP>_PER_… are their rates."""

Account = Callable[[HttpRequest], str | None] | str | None
"""For whom: a field of the form, or what finds it; nobody (None, "") is not counted."""

CHANGES: Final = ("POST", "PUT", "PATCH", "DELETE")
_OAUTH: Final = frozenset({"token", "registration", "introspection"})
_MACHINES: Final = frozenset({"api", "export", "report"})
_P = ParamSpec("_P")
_View = Callable[Concatenate[HttpRequest, _P], HttpResponseBase]


def check(request: HttpRequest, group: Group, account: str | None = None) -> None:
    """Count one attempt. Raises TooManyAttempts.

    Who is refused by address does not count for the account: others could be locked out so.
    """
    address = counted_as(request.META.get("REMOTE_ADDR") or "")
    wait_s = _wait_s(request, group, "address", address)
    by = "address"
    if not wait_s and account:
        by = "account"
        wait_s = _wait_s(request, group, "account", account.strip().casefold())
    if wait_s:
        log.info("429 for %s: too many by one %s", group, by)
        raise TooManyAttempts(
            f"Too many attempts. Try again in {wait_s} s.",
            headers={"Retry-After": str(wait_s), "Cache-Control": "no-store"},
        )


def throttled(
    group: Group, *, account: Account = None, methods: Iterable[str] = CHANGES
) -> Callable[[_View[_P]], _View[_P]]:
    """Guard a sync view of Django. Requests by other methods are not counted."""
    counted = frozenset(methods)

    def wrap(view: _View[_P]) -> _View[_P]:
        if inspect.iscoroutinefunction(view):
            raise TypeError(f"{view} is async: what counts attempts waits for a cache")

        @functools.wraps(view)
        def guarded(request: HttpRequest, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponseBase:
            if request.method in counted:
                try:
                    check(request, group, _account_of(request, account))
                except TooManyAttempts as refusal:
                    return answer(request, group, refusal)
            return view(request, *args, **kwargs)

        return guarded

    return wrap


class Throttled:
    """For class-based views of Django: name the group, and say for whom where that is known."""

    throttle_group: Group
    throttled_methods: Container[str | None] = CHANGES

    def throttle_account(self, request: HttpRequest) -> str | None:
        return None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method in self.throttled_methods:
            try:
                check(request, self.throttle_group, self.throttle_account(request))
            except TooManyAttempts as refusal:
                return answer(request, self.throttle_group, refusal)
        view: Any = super()  # a View comes behind this mixin
        response: HttpResponseBase = view.dispatch(request, *args, **kwargs)
        return response


class EndpointThrottle(BaseThrottle):
    """For views of the REST framework: `throttle_group` of the view, else `api`.

    For whom: the view's `throttle_account(request)`, else whoever is authenticated.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        """Raises TooManyAttempts, for the exception handler."""
        find = getattr(view, "throttle_account", _who)
        check(request._request, getattr(view, "throttle_group", "api"), find(request))
        return True


def answer(request: HttpRequest, group: Group, refusal: TooManyAttempts) -> HttpResponse:
    """429 as callers of that endpoint expect it."""
    headers = refusal.headers
    if group in _OAUTH:
        body: dict[str, Any] = {
            "error": "temporarily_unavailable", "error_description": refusal.message,
        }  # fmt: skip
        return JsonResponse(body, status=refusal.http_status, headers=headers)
    if group in _MACHINES or request.path.startswith("/api/") or _wants_json(request):
        return JsonResponse(refusal.openai(), status=refusal.http_status, headers=headers)
    context = {"message": refusal.message, "retry_after_s": headers["Retry-After"]}
    response = render(request, "429.html", context, status=refusal.http_status)
    for name, value in headers.items():
        response[name] = value
    return response


def _wait_s(request: HttpRequest, group: Group, by: str, value: str) -> int:
    """Seconds until it may be tried again; 0: it may now."""
    rate = settings.CHATVAULT.throttle.rate_of(group, by)
    if rate is None:
        return 0
    name = sha256(value.encode("utf-8", "replace")).hexdigest()  # of one length, and no secret
    usage = get_usage(
        request,
        group=f"{group}:{by}:",
        key=lambda _group, _request: name,
        rate=rate,
        increment=True,
    )
    if usage is None or not usage["should_limit"]:
        return 0
    return max(int(usage["time_left"]), 1)


def _account_of(request: HttpRequest, account: Account) -> str | None:
    if isinstance(account, str):
        return request.POST.get(account)
    return account(request) if account is not None else None


def _who(request: Request) -> str | None:
    who = request.user
    if not getattr(who, "is_authenticated", False):
        return None
    for name in ("key_id", "user_id", "client_id"):
        if number := getattr(who, name, 0):
            return f"{name}:{number}"
    return getattr(who, "name", None)


def _wants_json(request: HttpRequest) -> bool:
    accepts = request.headers.get("accept", "")
    return "application/json" in accepts and "text/html" not in accepts
