"""Percentiles of latencies, from counts of requests by how long they took."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from apps.usage.latency_buckets import bucket_sql, middle_ms
from apps.usage.reports import sources
from apps.usage.reports.periods import Period, Plan, plan_of
from apps.usage.reports.query import Dimension, Query, Value
from apps.usage.reports.ready_days import ReadyDays
from apps.usage.reports.sources import LATENCIES_BY, ROWS, ROWS_BY_TAG, Source

Key = tuple[tuple[int, *tuple[Value, ...]], str]
KINDS: Final = ("total", "first")
_MOST: Final = 500_000


@dataclass
class Histogram:
    """How many requests are in which bucket."""

    counts: dict[int, int] = field(default_factory=dict)

    def add(self, other: Histogram) -> None:
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count

    def percentile(self, percent: int) -> int | None:
        """In milliseconds, as exact as a bucket is wide; None where nothing was measured."""
        total = sum(self.counts.values())
        if total <= 0:
            return None
        rank = -(-total * percent // 100)  # the nearest one, from above
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return middle_ms(bucket)
        return None


_KEPT: Final = {"requests": "r.count", "kind": "r.kind", "bucket": "r.bucket"}
_HOURS: Final = Source(table="usage_latencyhour", time="hour", dimensions=LATENCIES_BY, sums=_KEPT)
_DAYS: Final = Source(
    table="usage_latencyday",
    time="day",
    dimensions=LATENCIES_BY,
    sums=_KEPT,
)
_LONGEST_BY_ROWS: Final = timedelta(days=8)


def fetch(
    query: Query, periods: list[Period], days: ReadyDays, since: datetime | None
) -> dict[Key, Histogram]:
    """By group and kind. Counts are kept by team, client, alias and deployment; of other groups
    and filters rows are counted, of a week at most."""
    wanted = {*query.group_by, *query.filters}
    scope = query.scope
    is_kept = wanted <= LATENCIES_BY.keys() and scope.key_id is None and scope.user_id is None
    plan = plan_of(periods, is_ready=days.has if is_kept else lambda _: False, rows_since=since)
    if not is_kept:
        plan = Plan([], [], [*plan.hours, *plan.rows])
    if sum((span.end - span.start for span in plan.rows), timedelta()) > _LONGEST_BY_ROWS:
        return {}
    rows = ROWS_BY_TAG if Dimension.TAG in query.group_by else ROWS
    tables = [(_DAYS, plan.days), (_HOURS, plan.hours)]
    tables += [(_timed(rows, *each), plan.rows) for each in _COLUMNS]
    pieces = [(source, spans) for source, spans in tables if spans]
    if not pieces:
        return {}
    statement = sources.sums(query, pieces, ("requests",), _MOST, also=("kind", "bucket"))
    found: dict[Key, Histogram] = {}
    for *group, kind, bucket, count in sources.fetch(statement):
        histogram = found.setdefault((tuple(group), kind), Histogram())
        histogram.counts[bucket] = int(count)
    return found


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
