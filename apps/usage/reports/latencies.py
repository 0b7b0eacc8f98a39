"""Percentiles of latencies, from counts of requests by how long they took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from apps.usage.latency_buckets import Histogram, bucket_sql
from apps.usage.reports import sources, views
from apps.usage.reports.periods import Period, Span, plan_of
from apps.usage.reports.query import Dimension, Query, Value
from apps.usage.reports.ready_days import ReadyDays
from apps.usage.reports.tables import LATENCIES_BY, ROWS, ROWS_BY_TAG, Source

Key = tuple[tuple[int, *tuple[Value, ...]], str]
KINDS: Final = ("total", "first")
_MOST: Final = 500_000
_KEPT: Final = {"requests": "r.count", "kind": "r.kind", "bucket": "r.bucket"}
_HOURS: Final = Source(table="usage_latencyhour", time="hour", dimensions=LATENCIES_BY, sums=_KEPT)
_LONGEST_BY_ROWS: Final = timedelta(days=8)


def fetch(
    query: Query, periods: list[Period], days: ReadyDays, since: datetime | None
) -> dict[Key, Histogram]:
    """By group and kind. Counts of whole days are kept in the groups of `views`, those of hours by
    team, client, alias and deployment; of others rows are counted, of a week at most."""
    wanted = query.dimensions
    by_day = views.smallest(views.LATENCIES_OF_DAYS, wanted)
    by_hour = views.smallest(views.LATENCIES_OF_HOURS, wanted)
    plan = plan_of(periods, is_ready=days.has if by_day else lambda _: False, rows_since=since)
    packed, hours = days.split(plan.hours) if by_hour else ([], plan.hours)
    rows = plan.rows
    if not wanted <= LATENCIES_BY.keys():
        hours, rows = [], [*hours, *rows]
    if sum((span.end - span.start for span in rows), timedelta()) > _LONGEST_BY_ROWS:
        return {}
    found: dict[Key, Histogram] = {}
    for view, spans in ((by_day, plan.days), (by_hour, packed)):
        for key, number in _packed(query, spans, view):
            found.setdefault(key, Histogram()).number += number
    for key, bucket, count in _counted(query, hours, rows):
        found.setdefault(key, Histogram()).count(bucket, count)
    return found


def _packed(query: Query, spans: list[Span], view: Source | None) -> Iterator[tuple[Key, int]]:
    """Of each group of each day or hour: so few that they are added up here."""
    if not spans or view is None:
        return
    statement = sources.rows(query, view, spans, _PACKED)
    for *group, sign, kind, lowest, counts in sources.fetch(statement):
        yield (tuple(group), kind), sign * Histogram.of(lowest, counts).number


def _counted(query: Query, hours: list[Span], rows: list[Span]) -> Iterator[tuple[Key, int, int]]:
    """Of each group: in this bucket so many requests."""
    source = ROWS_BY_TAG if Dimension.TAG in query.group_by else ROWS
    tables = [(_HOURS, hours), *((_timed(source, *each), rows) for each in _COLUMNS)]
    pieces = [(source, spans) for source, spans in tables if spans]
    if not pieces:
        return
    statement = sources.sums(query, pieces, ("requests",), _MOST, also=("kind", "bucket"))
    for *group, kind, bucket, count in sources.fetch(statement):
        yield (tuple(group), kind), bucket, int(count)


_PACKED: Final = ("kind", "lowest", "counts")
_COLUMNS: Final = (("total", "latency_ms"), ("first", "first_token_ms"))


def _timed(rows: Source, kind: str, column: str) -> Source:
    return replace(
        rows,
        sums={
            "requests": f"CASE WHEN r.{column} IS NULL THEN 0 ELSE 1 END",
            "kind": f"'{kind}'",
            "bucket": bucket_sql(f"COALESCE(r.{column}, 1)"),
        },
    )
