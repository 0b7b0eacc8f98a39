"""What the database holds, for Prometheus: size, partitions, errors that nobody has seen to."""

from __future__ import annotations

from datetime import UTC
from itertools import groupby
from pathlib import Path
from typing import Final

from django.db import connection
from django.db.models import Count

from apps.usage import partitions
from apps.usage.models import ErrorGroup
from apps.usage.partitions import Partition
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, Row, Values, single

SIZE: Final = Family("chatvault_database_size_bytes", "gauge", "Size of the database on disk.")
PARTITIONS: Final = Family(
    "chatvault_partitions", "gauge", "Daily partitions of a table (PostgreSQL).", ("table",)
)
AHEAD: Final = Family(
    "chatvault_partition_days_ahead",
    "gauge",
    "Days after today that have a partition already (PostgreSQL).",
    ("table",),
)
IN_NET: Final = Family(
    "chatvault_partition_default_rows",
    "gauge",
    "Rows that fell into the table's default partition, as last estimated (PostgreSQL).",
    ("table",),
)
ERRORS: Final = Family(
    "chatvault_error_groups", "gauge", "Groups of errors in the admin, by state.", ("state",)
)

FAMILIES: Final = (SIZE, PARTITIONS, AHEAD, IN_NET, ERRORS)

_SIZE: Final = "SELECT pg_database_size(current_database())"


def read_storage() -> Figures:
    yield SIZE, single(_database_bytes())
    for table, found in groupby(partitions.listing(), key=lambda one: one.table):
        yield from _of_table(table, list(found))
    counts = dict(ErrorGroup.objects.order_by().values_list("state").annotate(Count("pk")))
    rows: dict[Values, Row] = {
        (state.value,): (counts.get(state.value, 0),) for state in ErrorGroup.State
    }
    yield ERRORS, rows


def _of_table(table: str, found: list[Partition]) -> Figures:
    today = clock.now().astimezone(UTC).date()
    daily = [one.end for one in found if one.end is not None]
    values = (table.removeprefix("usage_"),)
    yield PARTITIONS, {values: (len(daily),)}
    yield AHEAD, {values: (max(((end - today).days - 1 for end in daily), default=0),)}
    yield IN_NET, {values: (sum(max(one.rows, 0) for one in found if one.is_default),)}


def _database_bytes() -> int:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_SIZE)
            return int(cursor.fetchone()[0])
    name = str(connection.settings_dict["NAME"])
    files = [Path(name), Path(f"{name}-wal")]
    return sum(path.stat().st_size for path in files if path.exists())
