"""Ending sessions, and what else happens to people's ways of signing in."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import QuerySet

from apps.accounts.models import User
from apps.audit import acting, trail
from apps.sign_in.models import PersonSession
from apps.sign_in.sessions import digest_of


@transaction.atomic
def end_sessions(*, sessions: Iterable[PersonSession]) -> int:
    """They are over with their next request."""
    count = 0
    for session in sessions:
        trail.record(
            "session.ended",
            target=session.user,
            before={"device": session.browser, "address": session.address or ""},
        )
        PersonSession.objects.filter(pk=session.pk).delete()
        count += 1
    return count


def sign_out_everywhere(*, user: User, but: str | None = None) -> int:
    """End all sessions of a person, except for the one with the cookie `but`."""
    return end_sessions(sessions=list(sessions_of(user, but=but)))


def sessions_of(user: User, *, but: str | None = None) -> QuerySet[PersonSession]:
    found = PersonSession.objects.filter(user=user)
    return found.exclude(pk=digest_of(but)) if but else found


@transaction.atomic
def password_was_changed(*, user: User, but: str | None = None) -> None:
    """Whoever knew the old password is out."""
    trail.record("password.changed", target=user)
    sign_out_everywhere(user=user, but=but)


def lock_out(user: User) -> None:
    """The person is disabled, or got a password from somebody else: all sessions end."""
    if acting.current().user_id != user.pk:
        sign_out_everywhere(user=user)
