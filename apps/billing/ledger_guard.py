"""The triggers that keep the ledger append-only, whoever asks.

On SQLite a migration that rebuilds the table (any change of a column) loses its triggers: end
such a migration with `install`.
"""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

REFUSAL: Final = "the ledger is append-only: add an adjustment instead"

_SQLITE_INSTALL: Final = (
    "CREATE TRIGGER IF NOT EXISTS billing_ledgerentry_no_update "
    "BEFORE UPDATE ON billing_ledgerentry "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: add an adjustment instead'); END",
    "CREATE TRIGGER IF NOT EXISTS billing_ledgerentry_no_delete "
    "BEFORE DELETE ON billing_ledgerentry "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: add an adjustment instead'); END",
)
_SQLITE_REMOVE: Final = (
    "DROP TRIGGER IF EXISTS billing_ledgerentry_no_update",
    "DROP TRIGGER IF EXISTS billing_ledgerentry_no_delete",
)
_POSTGRES_INSTALL: Final = (
    "CREATE OR REPLACE FUNCTION billing_ledgerentry_refuse() RETURNS trigger "
    "LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION 'the ledger is append-only: add an adjustment instead' "
    "USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE OR REPLACE TRIGGER billing_ledgerentry_no_change "
    "BEFORE UPDATE OR DELETE ON billing_ledgerentry "
    "FOR EACH ROW EXECUTE FUNCTION billing_ledgerentry_refuse()",
    "CREATE OR REPLACE TRIGGER billing_ledgerentry_no_truncate "
    "BEFORE TRUNCATE ON billing_ledgerentry "
    "FOR EACH STATEMENT EXECUTE FUNCTION billing_ledgerentry_refuse()",
)
_POSTGRES_REMOVE: Final = (
    "DROP TRIGGER IF EXISTS billing_ledgerentry_no_change ON billing_ledgerentry",
    "DROP TRIGGER IF EXISTS billing_ledgerentry_no_truncate ON billing_ledgerentry",
    "DROP FUNCTION IF EXISTS billing_ledgerentry_refuse()",
)


def install(connection: BaseDatabaseWrapper) -> None:
    """Make the database refuse UPDATE, DELETE and TRUNCATE. Doing it twice is harmless."""
    _run(connection, _SQLITE_INSTALL, _POSTGRES_INSTALL)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take the triggers away again: to migrate back, and for tests that empty their tables."""
    _run(connection, _SQLITE_REMOVE, _POSTGRES_REMOVE)


def _run(
    connection: BaseDatabaseWrapper, sqlite: tuple[str, ...], postgres: tuple[str, ...]
) -> None:
    statements = {"sqlite": sqlite, "postgresql": postgres}[connection.vendor]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
