"""Django's own `migrate`, safe beside a running system.

On PostgreSQL it runs as the role that owns the tables, on one node at a time, and waits at most
`CHATVAULT_DATABASE_MIGRATE_LOCK_TIMEOUT_S` for a lock: whoever waits for an exclusive lock makes
all who come later wait behind it. A migration that could not have its lock is tried again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connection
from django.db.utils import DEFAULT_DB_ALIAS
from psycopg import errors

from chatvault.lib import databases

_LOCK_KEY: Final = 0x43_56_4D_49_47  # "CVMIG"
_PATIENCE_S: Final = 600.0
_TRIES: Final = 60
_MOST_PAUSE_S: Final = 5.0


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        if options.get("database") != DEFAULT_DB_ALIAS or connection.vendor != "postgresql":
            super().handle(*args, **options)
            return
        with databases.as_owner(), _alone(), _brief_locks():
            self._try(*args, **options)

    def _try(self, *args: Any, **options: Any) -> None:
        for number in range(1, _TRIES + 1):
            try:
                super().handle(*args, **options)
                return
            except OperationalError as error:
                if not isinstance(error.__cause__, errors.LockNotAvailable) or number == _TRIES:
                    raise
            if options["verbosity"]:
                self.stderr.write("A table is busy; the migration is tried again in a moment.")
            time.sleep(min(0.25 * number, _MOST_PAUSE_S))


@contextmanager
def _alone() -> Iterator[None]:
    """Two nodes do not migrate at once. Polled: who waits within a statement holds a snapshot,
    for which the other's concurrent index would wait in turn."""
    deadline = time.monotonic() + _PATIENCE_S
    while not _asked("SELECT pg_try_advisory_lock(%s)", _LOCK_KEY):
        if time.monotonic() > deadline:
            raise CommandError("Another node has been migrating the database for ten minutes.")
        time.sleep(0.3)
    try:
        yield
    finally:
        if connection.is_usable():
            _asked("SELECT pg_advisory_unlock(%s)", _LOCK_KEY)


@contextmanager
def _brief_locks() -> Iterator[None]:
    limit_ms = round(settings.CHATVAULT.database.migrate_lock_timeout_s * 1000)
    before = _asked("SELECT current_setting('lock_timeout')")
    _asked("SELECT set_config('lock_timeout', %s, false)", f"{limit_ms}ms")
    try:
        yield
    finally:
        if connection.is_usable():
            _asked("SELECT set_config('lock_timeout', %s, false)", before)


def _asked(statement: str, *values: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()[0]
