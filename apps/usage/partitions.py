"""Daily partitions of the tables that grow with every request. PostgreSQL only: elsewhere every
function here does nothing.

A row goes to the partition of its `started_at`, which the journal fixed, so that a replay meets
the same one. What fits no partition falls into the table's DEFAULT partition: ingest never waits
for upkeep. `ensure` makes partitions ahead and empties the net into partitions of their own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg import sql

from apps.usage.models import KeptSince
from chatvault.lib import clock, databases

TABLES: Final = ("usage_requestlog", "usage_attempt")
Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is to do."""

_LOCK_KEY: Final = 0x43_56_50_41_52  # one keeper of partitions at a time
_LOCK_TIMEOUT: Final = "1s"
_TRIES: Final = 5
_FAR: Final = timedelta(days=370)  # a clock that is further off gets no partition of its own
_BOUNDS: Final = re.compile(r"FROM \((?P<start>[^)]+)\) TO \((?P<end>[^)]+)\)")
_DAY: Final = timedelta(days=1)


class Partition(msgspec.Struct, frozen=True):
    """One partition. Days are UTC; `rows` is what the last ANALYZE estimated."""

    table: str
    name: str
    start: date | None  # None: from the beginning
    end: date | None  # the first day that is not in it; None: the DEFAULT partition
    rows: int
    size_bytes: int

    @property
    def is_default(self) -> bool:
        return self.end is None

    def holds(self, day: date) -> bool:
        if self.end is None:
            return False
        return (self.start is None or self.start <= day) and day < self.end


def are_used() -> bool:
    return connection.vendor == "postgresql"


def listing(tables: Iterable[str] = TABLES) -> list[Partition]:
    """Every partition, by table and day, the DEFAULT one last."""
    if not are_used():
        return []
    found = [partition for table in tables for partition in _partitions(table)]
    return sorted(
        found, key=lambda one: (one.table, one.end or date.max, one.start or date.min, one.name)
    )


def ensure(
    days_ahead: int | None = None, *, now: datetime | None = None, progress: Progress | None = None
) -> list[str]:
    """See that yesterday, today and the days ahead have their partitions, and that rows which
    fell into the net get theirs. Returns the names of those made.

    Doing it twice changes nothing; what an error interrupts, the next call goes on with. Raises
    OperationalError when a lock could not be had in several tries.
    """
    if not are_used():
        return []
    with databases.as_owner():
        return _ensure(days_ahead, now, progress)


def _ensure(days_ahead: int | None, now: datetime | None, progress: Progress | None) -> list[str]:
    today = (now or clock.now()).astimezone(UTC).date()
    ahead = settings.CHATVAULT.retention.days_ahead if days_ahead is None else days_ahead
    wanted = {today + _DAY * offset for offset in range(-1, ahead + 1)}
    missing: list[tuple[str, date]] = []
    for table in TABLES:
        known = _partitions(table)
        for day in sorted(wanted | _days_in_net(table, today)):
            if not any(partition.holds(day) for partition in known):
                missing.append((table, day))
    made = []
    for number, (table, day) in enumerate(missing, start=1):
        if _make(table, day):
            made.append(_name(table, day))
        if progress is not None:
            progress(number, len(missing))
    return made


def drop(table: str, *, before: date, progress: Progress | None = None) -> list[str]:
    """Drop the partitions whose every day is before this one; returns their names."""
    if not are_used():
        return []
    with databases.as_owner():
        return _drop(table, before, progress)


def _drop(table: str, before: date, progress: Progress | None) -> list[str]:
    old = [one for one in _partitions(table) if one.end is not None and one.end <= before]
    for number, partition in enumerate(old, start=1):
        with _keeper() as cursor:
            names = {"table": sql.Identifier(table), "old": sql.Identifier(partition.name)}
            _run(cursor, "ALTER TABLE {table} DETACH PARTITION {old}", **names)
            _run(cursor, "DROP TABLE {old}", **names)
        if progress is not None:
            progress(number, len(old))
    return [partition.name for partition in old]


def _make(table: str, day: date) -> bool:
    """One partition with the rows of the net that belong to it; False: it is there already."""
    name = _name(table, day)
    names: dict[str, sql.Composable] = {
        "table": sql.Identifier(table),
        "net": sql.Identifier(f"{table}_default"),
        "new": sql.Identifier(name),
        "check": sql.Identifier(f"{name}_day"),
        "start": sql.Literal(_midnight(day).isoformat()),
        "end": sql.Literal(_midnight(day + _DAY).isoformat()),
    }
    for attempt in range(_TRIES):
        try:
            with _keeper() as cursor:
                if any(partition.holds(day) for partition in _partitions(table)):
                    return False
                for statement in _NEW_PARTITION:
                    _run(cursor, statement, **names)
                if _is_protected(cursor, table):
                    _run(cursor, "ALTER TABLE {new} ENABLE ROW LEVEL SECURITY", **names)
                return True
        except OperationalError:
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    return False


# ATTACH locks the table itself only against other changes of its shape, so ingest and reports go
# on; only the net is locked, for as long as its rows move. The check spares ATTACH a scan.
_NEW_PARTITION: Final = (
    "CREATE TABLE {new} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)",
    "ALTER TABLE {new} ADD CONSTRAINT {check} CHECK (started_at >= {start} AND started_at < {end})",
    "LOCK TABLE {net} IN ACCESS EXCLUSIVE MODE",
    "WITH moved AS (DELETE FROM {net} WHERE started_at >= {start} AND started_at < {end} "
    "RETURNING *) INSERT INTO {new} SELECT * FROM moved",
    "ALTER TABLE {table} ATTACH PARTITION {new} FOR VALUES FROM ({start}) TO ({end})",
    "ALTER TABLE {new} DROP CONSTRAINT {check}",
)


def _is_protected(cursor: Any, table: str) -> bool:
    """By row-level security: then a partition that is asked by its own name shows nothing."""
    cursor.execute("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(%s)", [table])
    return bool(cursor.fetchone()[0])


@contextmanager
def _keeper() -> Iterator[Any]:
    """A transaction that is alone in changing partitions and that waits a second for locks."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK_KEY])
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_LOCK_TIMEOUT])
        cursor.execute("SELECT set_config('statement_timeout', '0', true)")
        yield cursor


def _run(cursor: Any, statement: str, **names: sql.Composable) -> None:
    cursor.execute(sql.SQL(statement).format(**names).as_string(cursor.connection))


def _days_in_net(table: str, today: date) -> set[date]:
    """The days of rows in the DEFAULT partition, as far as a clock can be believed."""
    earliest = _midnight(today - _FAR)
    if table == TABLES[0] and (since := KeptSince.of(KeptSince.Subject.REQUESTS)):
        earliest = max(earliest, since)
    if table == TABLES[1] and (since := KeptSince.of(KeptSince.Subject.ATTEMPTS)):
        earliest = max(earliest, since)
    statement = (
        "SELECT DISTINCT (started_at AT TIME ZONE 'UTC')::date FROM {net} "
        "WHERE started_at >= {start} AND started_at < {end}"
    )
    with connection.cursor() as cursor:
        _run(
            cursor,
            statement,
            net=sql.Identifier(f"{table}_default"),
            start=sql.Literal(earliest.isoformat()),
            end=sql.Literal(_midnight(today + _FAR).isoformat()),
        )
        return {row[0] for row in cursor.fetchall()}


def _partitions(table: str) -> list[Partition]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid), "
            "greatest(child.reltuples, 0)::bigint, pg_total_relation_size(child.oid) "
            "FROM pg_inherits link JOIN pg_class child ON child.oid = link.inhrelid "
            "WHERE link.inhparent = to_regclass(%s)",
            [table],
        )
        return [_partition(table, *row) for row in cursor.fetchall()]


def _partition(table: str, name: str, bounds: str, rows: int, size_bytes: int) -> Partition:
    found = _BOUNDS.search(bounds)
    if found is None:
        return Partition(table, name, None, None, rows, size_bytes)
    return Partition(table, name, _day_of(found["start"]), _day_of(found["end"]), rows, size_bytes)


def _day_of(bound: str) -> date | None:
    if bound == "MINVALUE":
        return None
    return datetime.fromisoformat(bound.strip("'")).astimezone(UTC).date()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _name(table: str, day: date) -> str:
    return f"{table}_p{day:%Y%m%d}"
