"""The database before the first request: checked, migrated when needed, and let go of."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.management import call_command
from django.db import connection
from django.db.utils import DatabaseError, OperationalError

from chatvault.lib import databases
from chatvault.progress import say
from chatvault.refusal import Refusal

_PREPARING = 0x63765F70726570  # "cv_prep", as an advisory lock's number
_POLL_S = 0.3


class DatabaseAway(Refusal):
    """The database does not answer; it may later."""


def refuse_failed_checks() -> None:
    """Raises Refusal with every error's sentence and hint."""
    failed = [
        f"{message.msg} {message.hint or ''} ({message.id})".strip()
        for message in checks.run_checks(tags=["chatvault"])
        if message.is_serious()
    ]
    if failed:
        raise Refusal("\n  ".join(failed))


def migrate_when_needed() -> None:
    """Migrates, but only when a file on disk is not yet applied: the question costs one query."""
    with _told_when_away():
        if _migrations_on_disk() <= _applied_migrations():
            return
        say("migrating the database")
        call_command("migrate", interactive=False, verbosity=0)


def is_migrated() -> bool:
    """Whether all that this version needs is applied. Raises DatabaseAway."""
    with _told_when_away():
        connection.ensure_connection()
        return _migrations_on_disk() <= _applied_migrations()


@contextmanager
def only_one_prepares(home: Path) -> Iterator[None]:
    """Held by one process of the state folder, and of all nodes that share a PostgreSQL."""
    descriptor = os.open(
        home / "run" / "prepare.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if connection.vendor != "postgresql":
            yield
            return
        with _told_when_away():
            _take_advisory_lock()
        try:
            yield
        finally:
            _free_advisory_lock()
    finally:
        os.close(descriptor)


def _take_advisory_lock() -> None:
    # polled, because a lock_timeout of the role would end a wait
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_PREPARING])
            if cursor.fetchone()[0]:
                return
        time.sleep(_POLL_S)


def _free_advisory_lock() -> None:
    # with a pool, closing would only put the session by; a session that broke has no lock
    with suppress(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [_PREPARING])


@contextmanager
def _told_when_away() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DatabaseAway(
            f"The database cannot be used ({reason}): check DATABASE_URL and that it is running."
        ) from None


def _migrations_on_disk() -> set[tuple[str, str]]:
    found = set()
    for app in apps.get_app_configs():
        module = settings.MIGRATION_MODULES.get(app.label, f"{app.name}.migrations")
        spec = find_spec(module) if module else None
        for folder in (spec.submodule_search_locations or []) if spec else []:
            names = (path.stem for path in Path(folder).glob("*.py"))
            found |= {(app.label, name) for name in names if not name.startswith("_")}
    return found


def _applied_migrations() -> set[tuple[str, str]]:
    from django.db.migrations.recorder import MigrationRecorder

    try:
        rows = MigrationRecorder(connection).applied_migrations()
    except DatabaseError:
        return set()
    return set(rows)


def close() -> None:
    """Lets go of every connection: a forked child must open its own."""
    databases.close_all()
