"""The SQL of ingest: rows by the thousand, without an object of the ORM for each.

Every statement is made of the names of our own tables and columns; values are parameters or
data. PostgreSQL gets rows by COPY, SQLite by executemany.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import connection, models

from apps.billing.ledger import LedgerRow
from apps.billing.models import LedgerEntry
from apps.usage import day_sums
from apps.usage.models import Attempt, HourlyRollup, LatencyHour, RequestLog, TagHour
from apps.usage.rows import AttemptRow, RequestRow
from apps.usage.sums import Sums

FEW: Final = 20  # sums that are faster added one by one than by a table of their own
_TABLES: dict[type[msgspec.Struct], type[models.Model]] = {
    RequestRow: RequestLog,
    AttemptRow: Attempt,
    LedgerRow: LedgerEntry,
}


def insert_charges(rows: Sequence[LedgerRow]) -> set[str]:
    """Insert the charges that are not there yet; returns the request ids of those inserted.

    They decide what is new: the ledger keeps one charge for each request for ever, also when
    the request's own row is gone. Call it in a transaction: what follows from a charge is booked
    in the same one.
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
        if connection.vendor == "postgresql" and settings.CHATVAULT.database.row_security:
            _let_arrive(cursor, rows)  # PostgreSQL has no COPY into a table with row security
            cursor.execute(_insert_arrived(kind))
        elif connection.vendor == "postgresql":
            model = _TABLES[kind]
            into = _copy_into(model, model._meta.db_table, kind.__struct_fields__)
            _copy(cursor, into, map(msgspec.structs.astuple, rows))
        else:
            cursor.executemany(
                _insert_values(_TABLES[kind], kind.__struct_fields__),
                [msgspec.structs.astuple(row) for row in rows],
            )


def add_sums(added: Sums) -> None:
    """Add to the sums of their hours."""
    day_sums.forget({datetime.fromisoformat(key.hour).replace(tzinfo=UTC) for key in added.groups})
    for model, groups in (
        (HourlyRollup, added.groups),
        (TagHour, added.tags),
        (LatencyHour, added.latencies),
    ):
        if groups:
            _add(model, groups)


def _add(model: type[models.Model], groups: Mapping[Any, msgspec.Struct]) -> None:
    """In the order of the keys, so that two writers never wait for each other."""
    keys = sorted(groups)
    values = [(*key, *msgspec.structs.astuple(groups[key])) for key in keys]
    names = (keys[0]._fields, groups[keys[0]].__struct_fields__)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and len(values) > FEW:
            table = _arrived(model)
            cursor.execute(_make_arrived(model, (*names[0], *names[1])))
            cursor.execute(_empty_arrived(model))
            _copy(cursor, _copy_into(model, table, (*names[0], *names[1])), values)
            cursor.execute(_add_arrived(model, *names))
        else:
            cursor.executemany(_upsert(model, *names), values)


def _known_ids(request_ids: list[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT request_id FROM billing_ledgerentry WHERE number = 0 AND account = 'client' "
            "AND request_id IN (SELECT value FROM json_each(%s))",
            [msgspec.json.encode(request_ids).decode()],
        )
        return {row[0] for row in cursor.fetchall()}


def _insert_returning(rows: Sequence[LedgerRow]) -> set[str]:
    with connection.cursor() as cursor:
        _let_arrive(cursor, rows)
        ending = "ON CONFLICT DO NOTHING RETURNING request_id"
        cursor.execute(_insert_arrived(LedgerRow, ending))
        return {row[0].hex for row in cursor.fetchall()}


def _let_arrive(cursor: Any, rows: Sequence[msgspec.Struct]) -> None:
    """Bring rows into the temporary table of their kind, which empties itself at the commit."""
    kind = type(rows[0])
    model, columns = _TABLES[kind], kind.__struct_fields__
    cursor.execute(_make_arrived(model, columns))
    cursor.execute(_empty_arrived(model))  # a transaction may come twice
    into = _copy_into(model, _arrived(model), columns)
    _copy(cursor, into, map(msgspec.structs.astuple, rows))


@cache
def _empty_arrived(model: type[models.Model]) -> str:
    return " ".join(["DELETE FROM", _arrived(model)])


def _arrived(model: type[models.Model]) -> str:
    return f"arrived_{model._meta.db_table}"


def _copy(cursor: Any, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """CSV, since Python writes it in C: an empty field is NULL in a number, "" in a text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with connection.wrap_database_errors, cursor.copy(statement) as copy:
        copy.write(text.getvalue())


@cache
def _copy_into(model: type[models.Model], table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(connection.ops.quote_name(column) for column in columns)
    texts = [column for column in columns if isinstance(_field(model, column), models.CharField)]
    quoted = ", ".join(connection.ops.quote_name(column) for column in texts)
    words = ["COPY", table, "(", names, ") FROM STDIN WITH (FORMAT csv"]
    return " ".join([*words, ", FORCE_NOT_NULL (", quoted, "))"])


@cache
def _make_arrived(model: type[models.Model], columns: tuple[str, ...]) -> str:
    typed = ", ".join(
        " ".join([connection.ops.quote_name(column), _type_of(model, column)]) for column in columns
    )
    words = ["CREATE TEMPORARY TABLE IF NOT EXISTS", _arrived(model), "(", typed, ")"]
    return " ".join([*words, "ON COMMIT DELETE ROWS"])


@cache
def _insert_arrived(kind: type[msgspec.Struct], ending: str = "") -> str:
    names = ", ".join(connection.ops.quote_name(name) for name in kind.__struct_fields__)
    words = ["INSERT INTO", _TABLES[kind]._meta.db_table, "(", names, ") SELECT", names]
    return " ".join([*words, "FROM", _arrived(_TABLES[kind]), ending])


@cache
def _add_arrived(model: type[models.Model], key: tuple[str, ...], sums: tuple[str, ...]) -> str:
    columns = ", ".join(connection.ops.quote_name(name) for name in (*key, *sums))
    words = ["INSERT INTO", model._meta.db_table, "(", columns, ") SELECT", columns]
    return " ".join([*words, "FROM", _arrived(model), _or_add(model, key, sums)])


@cache
def _insert_values(model: type[models.Model], columns: tuple[str, ...]) -> str:
    names = ", ".join(connection.ops.quote_name(column) for column in columns)
    marks = ", ".join(["%s"] * len(columns))
    return " ".join(["INSERT INTO", model._meta.db_table, "(", names, ") VALUES (", marks, ")"])


def _field(model: type[models.Model], column: str) -> Any:
    return model._meta.get_field(column)


def _type_of(model: type[models.Model], column: str) -> str:
    return str(_field(model, column).db_type(connection))


@cache
def _upsert(model: type[models.Model], key: tuple[str, ...], sums: tuple[str, ...]) -> str:
    return " ".join([_insert_values(model, (*key, *sums)), _or_add(model, key, sums)])


def _or_add(model: type[models.Model], key: tuple[str, ...], sums: tuple[str, ...]) -> str:
    quote = connection.ops.quote_name
    keys = ", ".join(map(quote, key))
    table = model._meta.db_table
    more = ", ".join(
        f"{quote(column)} = {table}.{quote(column)} + excluded.{quote(column)}" for column in sums
    )
    return " ".join(["ON CONFLICT (", keys, ") DO UPDATE SET", more])
