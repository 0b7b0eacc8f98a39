"""One attempt to prove who one is: counted, tried, recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import transaction
from django.http import HttpRequest

from apps.accounts.models import User
from apps.audit import acting, trail
from apps.sign_in import backoff

Found = TypeVar("Found")


def address_of(request: HttpRequest | None) -> str | None:
    """Where it comes from; without a request, from where the actor is said to be."""
    if request is None:
        return acting.current().address
    return request.META.get("REMOTE_ADDR") or None


def by_second_factor(
    *, user: User, address: str | None, prove: Callable[[], Found | None]
) -> Found | None:
    """What `prove` returns, unless this account or address has to wait. None: not proved.

    Counted apart from passwords: whoever knows one could else begin anew with it.
    """
    of = backoff.subjects(f"{user.get_username()} (second factor)", address)
    if not backoff.begin(of):
        return None
    found = prove()
    if found is None:
        record_failure(user, user.get_username(), "second factor")
        return None
    backoff.succeeded(of)
    return found


@transaction.atomic
def record_failure(user: User | None, login: str, what: str) -> None:
    trail.record("sign_in.failed", target=user, after={"tried": login[:150], "with": what})
