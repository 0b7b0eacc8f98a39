"""Who asks the API: a signed-in person by session, or a machine by its bearer credential."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from apps.accounts import bearers, key_use, keys, signing
from apps.accounts.credentials import Asker, KeyRecord
from apps.accounts.failures import Failures, failures_of
from apps.accounts.models import User
from apps.accounts.principals import Principal, of_machine, of_user
from chatvault.lib import clock
from chatvault.lib.errors import KeyDisabled, Unauthenticated


class PersonAuthentication(SessionAuthentication):
    """The admin's session; changes need its CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        return of_user(found[0]), None


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer` with a key or token. Raises Unauthenticated, KeyDisabled, and
    TooManyAttempts for an address whose credentials were refused again and again."""

    def authenticate(self, request: Request) -> tuple[Principal, str] | None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return None
        return _watched(request, token.strip()), "bearer"

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


@cache
def _failures() -> Failures:
    """Of this process: strangers who are refused again and again wait, before anybody is asked."""
    throttle = settings.CHATVAULT.throttle
    return failures_of(
        throttle.pace_of("key_failures_per_address"), throttle.pace_of("key_failures_per_prefix")
    )


def _watched(request: Request, token: str) -> Principal:
    address, shown = request.META.get("REMOTE_ADDR") or "", token.encode("utf-8", "replace")
    _failures().check(address, shown)
    try:
        return principal_of(token)
    except Unauthenticated:
        _failures().note(address, shown)
        raise


def principal_of(token: str) -> Principal:
    """The machine behind a bearer credential, or the person behind a JWT."""
    asker = Asker(keys.peppers(), signing.verifier().verify)
    question = asker.question(token.encode("utf-8", "replace"))
    record = bearers.answer([question]).get(question.digest)
    if record is None or _is_expired(record):
        raise Unauthenticated
    if not record.is_active:
        raise KeyDisabled
    key_use.touch(record.key_id)
    if record.session_id:
        return _by_jwt(record)
    return of_machine(
        record.kind,
        record.name,
        scopes=record.scopes,
        team_id=record.team_id,
        client_id=record.client_id,
        key_id=record.key_id or None,
        user_id=record.user_id or None,
    )


def _by_jwt(record: KeyRecord) -> Principal:
    """A person in all teams, within the scopes of the session."""
    who = of_user(User.objects.get(pk=record.user_id)).narrowed_to(record.scopes)
    return replace(who, kind="jwt", client_id=record.client_id or None)


def _is_expired(record: KeyRecord) -> bool:
    return record.expires_at_s is not None and record.expires_at_s <= clock.wall_s()
