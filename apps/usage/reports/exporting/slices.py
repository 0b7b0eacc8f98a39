"""The requests of an export, some thousand at a time and in order of time.

A slice is found by where the one before it ended. So memory does not grow with the export, no
transaction stays open while somebody downloads slowly, and what was interrupted goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from apps.usage.reports import sources
from apps.usage.reports.exporting.columns import CHANGES, Column
from apps.usage.reports.query import Filters, Scope
from apps.usage.reports.sources import Statement
from apps.usage.reports.tables import ROWS

_ADJUSTED: Final = (
    "LEFT JOIN (SELECT request_id, "
    "CAST(SUM(CASE WHEN account = 'provider' THEN amount_nano ELSE 0 END) AS bigint) "
    "AS cost_change, "
    "CAST(SUM(CASE WHEN account = 'client' THEN -amount_nano ELSE 0 END) AS bigint) "
    "AS charged_change FROM billing_ledgerentry WHERE kind = 'adjustment' "
    "AND booked_at >= %s AND booked_at <= %s GROUP BY request_id) c "
    "ON c.request_id = r.request_id"
)


@dataclass(frozen=True)
class Wanted:
    """Which requests."""

    start: datetime
    end: datetime
    filters: Filters
    scope: Scope


@dataclass(frozen=True)
class Slice:
    """The requests after one and up to another, both by (started_at, id)."""

    wanted: Wanted
    after: tuple[datetime, int]
    upto: tuple[datetime, int]


def slices(wanted: Wanted, size: int) -> Iterator[Slice]:
    """All of them, one after another; a request that comes late to a slice that is read already is
    not in the export."""
    after = (wanted.start, -1)
    while (upto := _end(wanted, after, size)) is not None:
        yield Slice(wanted, after, upto)
        after = upto


def _end(wanted: Wanted, after: tuple[datetime, int], size: int) -> tuple[datetime, int] | None:
    """The last request of the slice that follows."""
    for place in (size - 1, None):
        found = Statement([], [])
        found.say("SELECT r.started_at, r.id FROM usage_requestlog r WHERE")
        found.extend(_after(after))
        found.add("AND r.started_at < %s", sources.instant(wanted.end))
        found.extend(sources.conditions(ROWS, wanted.filters, wanted.scope))
        if place is None:
            found.say("ORDER BY r.started_at DESC, r.id DESC LIMIT 1")
        else:
            found.add("ORDER BY r.started_at, r.id LIMIT 1 OFFSET %s", place)
        if rows := sources.fetch(found):
            return sources.as_instant(rows[0][0]), int(rows[0][1])
    return None


def rows_of(one: Slice, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The fields that the columns are made of."""
    fields = sorted({field for column in columns for field in column.fields})
    names = [f"c.{field}" if field in CHANGES else f"r.{field}" for field in fields]
    found = Statement(["SELECT", ", ".join(names)], [])
    found.extend(_from(one))
    return [dict(zip(fields, row, strict=True)) for row in sources.fetch(found)]


def copy_statement(one: Slice, columns: Sequence[Column]) -> Statement:
    """PostgreSQL's own CSV of a slice."""
    found = Statement(["COPY (SELECT", ", ".join(each.postgres() for each in columns)], [])
    found.say("FROM (SELECT r.*, c.cost_change, c.charged_change")
    found.extend(_from(one))
    found.say(") x) TO STDOUT (FORMAT csv)")
    return found


def _from(one: Slice) -> Statement:
    found = Statement(["FROM usage_requestlog r"], [])
    bounds = sources.instant(one.after[0]), sources.instant(one.upto[0])
    found.add(_ADJUSTED, *bounds)
    found.say("WHERE")
    found.extend(_after(one.after))
    found.add(
        "AND r.started_at <= %s AND (r.started_at, r.id) <= (%s, %s)",
        *(bounds[1], bounds[1], one.upto[1]),
    )
    found.extend(sources.conditions(ROWS, one.wanted.filters, one.wanted.scope))
    found.say("ORDER BY r.started_at, r.id")
    return found


def _after(after: tuple[datetime, int]) -> Statement:
    """The first condition helps PostgreSQL to look at the right partitions only."""
    at = sources.instant(after[0])
    return Statement(["r.started_at >= %s AND (r.started_at, r.id) > (%s, %s)"], [at, at, after[1]])
