"""Whose rows a session of PostgreSQL may see, where row-level security is on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.conf import settings
from django.db import connections, transaction
from django.db.utils import DEFAULT_DB_ALIAS

EVERYBODY = "*"
_whose: ContextVar[str | None] = ContextVar("whose_rows", default=None)


@contextmanager
def limited_to(team_ids: Iterable[int], *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """In this block, which is a transaction, only rows of these teams exist; none for no team.

    Without row-level security nothing changes: our own filters are the first wall in any case.
    """
    named = ",".join(str(int(team_id)) for team_id in sorted(set(team_ids)))
    with _said(named, using):
        yield


@contextmanager
def unlimited(*, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """In this block the rows of all teams exist, also within `limited_to`: for what concerns the
    whole installation whoever asks, such as the document of a revision. Nothing that is read here
    may reach the person who asked."""
    with _said(EVERYBODY, using):
        yield


@contextmanager
def also_on(using: str) -> Iterator[None]:
    """In this block the limit that holds on the default connection holds on this one, too."""
    whose = _whose.get()
    if whose is None:
        yield
        return
    with _said(whose, using):
        yield


@contextmanager
def _said(whose: str, using: str) -> Iterator[None]:
    if not settings.CHATVAULT.database.row_security:
        yield
        return
    token = _whose.set(whose)
    try:
        with transaction.atomic(using=using):
            before = _say(whose, using)
            yield
            if not connections[using].needs_rollback:  # else the transaction takes it back itself
                _say(before, using)
    finally:
        _whose.reset(token)


def _say(whose: str, using: str) -> Any:
    """For the transaction; what it was before comes back. One round trip."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "WITH old AS MATERIALIZED (SELECT current_setting('chatvault.team_ids', true) AS was) "
            "SELECT was, set_config('chatvault.team_ids', %s, true) FROM old",
            [whose],
        )
        return cursor.fetchone()[0] or ""
