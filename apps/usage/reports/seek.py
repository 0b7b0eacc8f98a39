"""Where a page of the request log is, without walking over all the rows before it.

Sums of days, then of hours, tell how many requests lie where; only the rest is counted off in rows.
So the 10,000th page costs about what the first does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import Min

from apps.usage.models import HourlyRollup, KeptSince
from apps.usage.reports import sources, tables
from apps.usage.reports.periods import Period, periods_of
from apps.usage.reports.query import Bucket, Filters, Query, Scope
from apps.usage.reports.ready_days import ReadyDays
from apps.usage.reports.summary import pieces_of
from chatvault.lib import clock

_HOUR: Final = timedelta(hours=1)
_COUNTED: Final = ("requests",)


@dataclass(frozen=True)
class Asked:
    """Which requests are listed, and in which order of time."""

    filters: Filters
    scope: Scope
    start: datetime | None = None
    end: datetime | None = None
    newest_first: bool = True


@dataclass(frozen=True)
class Place:
    """The rows of a page are among those in [start, end), after `skip` of them."""

    start: datetime
    end: datetime
    skip: int
    total: int
    """How many there are in all pages."""


class Counted:
    """How many requests each day has, looked up once for all pages."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._query = _query(asked, Bucket.DAY)
        self._days = _counts(self._query)

    @property
    def total(self) -> int:
        return sum(number for _, number in self._days)

    def place(self, offset: int, count: int) -> Place:
        """Where `count` rows after the first `offset` are."""
        query, asked = self._query, self._asked
        start, end, skip = _narrowed(query, self._days, asked, offset, count)
        is_long = 2 * _HOUR < end - start <= timedelta(days=3)
        if skip and is_long and tables.HOURS.knows(asked.filters, _COUNTED):
            within = replace(query, start=start, end=end, bucket=Bucket.HOUR)
            start, end, skip = _narrowed(within, _counts(within), asked, skip, count)
        return Place(start, end, skip, self.total)


def _query(asked: Asked, bucket: Bucket) -> Query:
    end = asked.end or clock.now() + timedelta(days=2)
    start = asked.start or _earliest() or end - timedelta(days=1)
    if start >= end:
        start = end - timedelta(microseconds=1)
    return Query(
        start=max(start, end - timedelta(days=7000)),
        end=end,
        bucket=bucket,
        filters=asked.filters,
        scope=asked.scope,
        percentiles=False,
    )


def _earliest() -> datetime | None:
    kept: datetime | None = KeptSince.of(KeptSince.Subject.REQUESTS)
    first: datetime | None = HourlyRollup.objects.aggregate(first=Min("hour"))["first"]
    return max(first, kept) if first and kept else first


def _counts(query: Query) -> list[tuple[Period, int]]:
    """How many requests each period has, in order of time."""
    periods = periods_of(query)
    days = ReadyDays.between(query.start, query.end)
    pieces = pieces_of(query, periods, days, None, _COUNTED)
    if not pieces:
        return []
    rows = sources.fetch(sources.sums(query, pieces, _COUNTED, len(periods)))
    return sorted((periods[number], int(count)) for number, count in rows)


def _narrowed(
    query: Query,
    counts: Sequence[tuple[Period, int]],
    asked: Asked,
    offset: int,
    count: int,
) -> tuple[datetime, datetime, int]:
    """The shortest stretch of whole periods that holds the rows, and how many to skip there."""
    found: list[Period] = []
    skip, there = offset, 0
    for period, number in reversed(counts) if asked.newest_first else counts:
        if not found and skip >= number:
            skip -= number
            continue
        found.append(period)
        there += number
        if there - skip >= count:
            break
    if not found:  # past the last page
        return query.end, query.end, 0
    return (
        min(period.start for period in found).astimezone(UTC),
        max(period.end for period in found).astimezone(UTC),
        skip,
    )
