"""The SQL of ingest: rows by the thousand, without an object of the ORM for each.

Every statement is made of the names of our own tables and columns; values are parameters.
PostgreSQL gets a batch as one JSON document, SQLite by executemany.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from django.db import connection, models

from apps.billing.ledger import LedgerRow
from apps.billing.models import LedgerEntry
from apps.usage.models import Attempt, HourlyRollup, RequestLog
from apps.usage.rows import AttemptRow, RequestRow, RollupKey, RollupSums

_TABLES: dict[type[msgspec.Struct], type[models.Model]] = {
    RequestRow: RequestLog,
    AttemptRow: Attempt,
    LedgerRow: LedgerEntry,
}
_ROLLUP_COLUMNS = RollupKey._fields + RollupSums.__struct_fields__


def insert_requests(rows: Sequence[RequestRow]) -> set[str]:
    """Insert those that are not there yet; returns the request ids of the rows inserted.

    Call it in a transaction: what follows from a row is booked in the same one.
    """
    if not rows:
        return set()
    if connection.vendor == "postgresql":
        return _insert_returning(rows)
    known = _known_ids([row.request_id for row in rows])
    fresh = {row.request_id: row for row in rows if row.request_id not in known}
    insert(list(fresh.values()))
    return set(fresh)


def insert(rows: Sequence[AttemptRow | LedgerRow | RequestRow]) -> None:
    """Insert rows of one kind. Raises IntegrityError when one is there already."""
    if not rows:
        return
    kind = type(rows[0])
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_insert_from_json(kind), [msgspec.json.encode(rows).decode()])
        else:
            cursor.executemany(
                _insert_values(_TABLES[kind], kind.__struct_fields__),
                [msgspec.structs.astuple(row) for row in rows],
            )


def add_rollups(sums: dict[RollupKey, RollupSums]) -> None:
    """Add to the sums of their hours."""
    if not sums:
        return
    values = [(*key, *msgspec.structs.astuple(sums[key])) for key in sorted(sums)]
    with connection.cursor() as cursor:
        cursor.executemany(_upsert_rollup(), values)


def _known_ids(request_ids: list[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT request_id FROM usage_requestlog "
            "WHERE request_id IN (SELECT value FROM json_each(%s))",
            [msgspec.json.encode(request_ids).decode()],
        )
        return {row[0] for row in cursor.fetchall()}


def _insert_returning(rows: Sequence[RequestRow]) -> set[str]:
    statement = _insert_from_json(RequestRow) + " ON CONFLICT DO NOTHING RETURNING request_id"
    with connection.cursor() as cursor:
        cursor.execute(statement, [msgspec.json.encode(rows).decode()])
        return {row[0].hex for row in cursor.fetchall()}


@cache
def _insert_values(model: type[models.Model], columns: tuple[str, ...]) -> str:
    names = ", ".join(connection.ops.quote_name(column) for column in columns)
    marks = ", ".join(["%s"] * len(columns))
    return " ".join(["INSERT INTO", model._meta.db_table, "(", names, ") VALUES (", marks, ")"])


@cache
def _insert_from_json(kind: type[msgspec.Struct]) -> str:
    model = _TABLES[kind]
    columns = kind.__struct_fields__
    names = ", ".join(connection.ops.quote_name(column) for column in columns)
    types = ", ".join(
        " ".join([connection.ops.quote_name(column), _type_of(model, column)]) for column in columns
    )
    words = ["INSERT INTO", model._meta.db_table, "(", names, ") SELECT", names]
    return " ".join([*words, "FROM json_to_recordset(%s::json) AS batch(", types, ")"])


def _type_of(model: type[models.Model], column: str) -> str:
    kind: Any = model._meta.get_field(column).db_type(connection)
    return str(kind)


@cache
def _upsert_rollup() -> str:
    quote = connection.ops.quote_name
    keys = ", ".join(quote(column) for column in RollupKey._fields)
    table = HourlyRollup._meta.db_table
    sums = ", ".join(
        f"{quote(column)} = {table}.{quote(column)} + excluded.{quote(column)}"
        for column in RollupSums.__struct_fields__
    )
    insertion = _insert_values(HourlyRollup, _ROLLUP_COLUMNS)
    return " ".join([insertion, "ON CONFLICT (", keys, ") DO UPDATE SET", sums])
