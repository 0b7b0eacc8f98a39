"""Triggers that keep prices of one model from overlapping, and versions of tiers as they were.

On PostgreSQL whoever writes a price holds its book until the end of the transaction, so that two
who write at once see each other; SQLite has one writer at a time. On SQLite a migration that
rebuilds a table loses its triggers: end such a migration with `install`.
"""

from __future__ import annotations

from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

OVERLAP: Final = "another price of this model holds within this period"
UNCHANGED: Final = "a version of a tier is never changed"

_CLASH: Final = (
    "SELECT 1 FROM billing_price other WHERE other.book_id = NEW.book_id "
    "AND other.model = NEW.model AND other.id <> COALESCE(NEW.id, -1) "
    "AND COALESCE(other.deployment_id, 0) = COALESCE(NEW.deployment_id, 0) "
    "AND (other.valid_to IS NULL OR other.valid_to > NEW.valid_from) "
    "AND (NEW.valid_to IS NULL OR NEW.valid_to > other.valid_from)"
)
_PERIOD: Final = "book_id, model, deployment_id, valid_from, valid_to"
_TERMS: Final = "tier_id, tier_name, book_id, markup_ppm, minimum_nano, overrides, volume"

_SQLITE_INSTALL: Final = (
    "CREATE TRIGGER IF NOT EXISTS billing_price_no_overlap_insert AFTER INSERT ON billing_price "
    f"WHEN EXISTS ({_CLASH}) BEGIN SELECT RAISE(ABORT, '{OVERLAP}'); END",
    "CREATE TRIGGER IF NOT EXISTS billing_price_no_overlap_update "
    f"AFTER UPDATE OF {_PERIOD} ON billing_price "
    f"WHEN EXISTS ({_CLASH}) BEGIN SELECT RAISE(ABORT, '{OVERLAP}'); END",
    "CREATE TRIGGER IF NOT EXISTS billing_tierterms_no_change "
    f"BEFORE UPDATE OF {_TERMS} ON billing_tierterms "
    f"BEGIN SELECT RAISE(ABORT, '{UNCHANGED}'); END",
)
_SQLITE_REMOVE: Final = (
    "DROP TRIGGER IF EXISTS billing_price_no_overlap_insert",
    "DROP TRIGGER IF EXISTS billing_price_no_overlap_update",
    "DROP TRIGGER IF EXISTS billing_tierterms_no_change",
)
_POSTGRES_INSTALL: Final = (
    "CREATE OR REPLACE FUNCTION billing_price_refuse_overlap() RETURNS trigger "
    "LANGUAGE plpgsql AS $$ BEGIN "
    "PERFORM 1 FROM billing_pricebook WHERE id = NEW.book_id FOR UPDATE; "
    f"IF EXISTS ({_CLASH}) THEN RAISE EXCEPTION '{OVERLAP}' "
    "USING ERRCODE = 'exclusion_violation'; END IF; RETURN NEW; END $$",
    "CREATE OR REPLACE TRIGGER billing_price_no_overlap "
    f"BEFORE INSERT OR UPDATE OF {_PERIOD} ON billing_price "
    "FOR EACH ROW EXECUTE FUNCTION billing_price_refuse_overlap()",
    "CREATE OR REPLACE FUNCTION billing_tierterms_refuse() RETURNS trigger "
    f"LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{UNCHANGED}' "
    "USING ERRCODE = 'integrity_constraint_violation'; END $$",
    "CREATE OR REPLACE TRIGGER billing_tierterms_no_change "
    f"BEFORE UPDATE OF {_TERMS} ON billing_tierterms "
    "FOR EACH ROW EXECUTE FUNCTION billing_tierterms_refuse()",
)
_POSTGRES_REMOVE: Final = (
    "DROP TRIGGER IF EXISTS billing_price_no_overlap ON billing_price",
    "DROP FUNCTION IF EXISTS billing_price_refuse_overlap()",
    "DROP TRIGGER IF EXISTS billing_tierterms_no_change ON billing_tierterms",
    "DROP FUNCTION IF EXISTS billing_tierterms_refuse()",
)


def install(connection: BaseDatabaseWrapper) -> None:
    """Make the database refuse overlaps and changed versions. Doing it twice is harmless."""
    _run(connection, _SQLITE_INSTALL, _POSTGRES_INSTALL)


def remove(connection: BaseDatabaseWrapper) -> None:
    _run(connection, _SQLITE_REMOVE, _POSTGRES_REMOVE)


def _run(
    connection: BaseDatabaseWrapper, sqlite: tuple[str, ...], postgres: tuple[str, ...]
) -> None:
    statements = {"sqlite": sqlite, "postgresql": postgres}[connection.vendor]
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
