"""The database before the first request: checked, migrated when needed, and let go of."""

from importlib.util import find_spec
from pathlib import Path

from django.apps import apps
from django.core import checks
from django.core.management import call_command
from django.db import connection
from django.db.utils import DatabaseError, OperationalError

from chatvault.progress import say
from chatvault.refusal import Refusal


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
    try:
        if _migrations_on_disk() <= _applied_migrations():
            return
        say("migrating the database")
        call_command("migrate", interactive=False, verbosity=0)
    except OperationalError as error:
        raise Refusal(
            f"The database cannot be used ({str(error).strip().splitlines()[0]}): "
            "check DATABASE_URL and that it is running."
        ) from None


def _migrations_on_disk() -> set[tuple[str, str]]:
    found = set()
    for app in apps.get_app_configs():
        spec = find_spec(f"{app.name}.migrations")
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
    connection.close()
    close_pool = getattr(connection, "close_pool", None)
    if close_pool is not None:
        close_pool()
