"""One attempt to prove who one is: counted, tried, recorded; the answer is the same for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest

from apps.accounts.models import User
from apps.audit import trail
from apps.sign_in import backoff
from apps.sign_in.backend import find_account

Found = TypeVar("Found")


def address_of(request: HttpRequest) -> str | None:
    return request.META.get("REMOTE_ADDR") or None


def by_password(request: HttpRequest, *, login: str, password: str) -> User | None:
    """The person, or None: unknown, wrong, inactive or locked, which look and last the same."""
    known = find_account(login)
    of = backoff.subjects(known.get_username() if known else login, address_of(request))
    if not backoff.begin(of):
        User().set_password(password)  # takes as long as trying it
        return None
    user = authenticate(request, username=login, password=password)
    if isinstance(user, User):
        backoff.succeeded(of)
        return user
    _record_failure(known, login, "password")
    return None


def by_second_factor(
    request: HttpRequest, *, user: User, prove: Callable[[], Found | None]
) -> Found | None:
    """What `prove` returns, unless this account or address has to wait. None: not proved.

    Counted apart from passwords: whoever knows one could else begin anew with it.
    """
    of = backoff.subjects(f"{user.get_username()} (second factor)", address_of(request))
    if not backoff.begin(of):
        return None
    found = prove()
    if found is None:
        _record_failure(user, user.get_username(), "second factor")
        return None
    backoff.succeeded(of)
    return found


@transaction.atomic
def _record_failure(user: User | None, login: str, what: str) -> None:
    trail.record(
        "sign_in.failed",
        target=user,
        after={"tried": login[:150], "with": what},
    )
