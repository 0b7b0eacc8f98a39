"""Time cut into buckets, and buckets into what is summed already.

Sums are kept by UTC hour and by UTC day. A bucket of another time zone begins elsewhere: it is made
of whole days, plus and minus hours at its edges, plus and minus rows where its edge is no full
hour. So a day of Berlin with 23 hours and an hour of Kolkata are as exact as a day in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple

from apps.usage.reports.query import MOST_PERIODS, BadQuery, Bucket, Query

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Period(NamedTuple):
    """One bucket: its own beginning, by which it is called, and what of it is asked for."""

    label: datetime | None  # in the zone of the report; None: there is one bucket only
    start: datetime  # UTC
    end: datetime


class Span(NamedTuple):
    """What lies in [start, end) counts for the period of this number, `sign` times."""

    period: int
    sign: int
    start: datetime
    end: datetime


@dataclass
class Plan:
    """Which sums and rows make up the periods."""

    days: list[Span] = field(default_factory=list)
    hours: list[Span] = field(default_factory=list)
    rows: list[Span] = field(default_factory=list)


def periods_of(query: Query) -> list[Period]:
    """The buckets of a query in order. Raises BadQuery when they are too many."""
    start, end = query.start.astimezone(UTC), query.end.astimezone(UTC)
    if query.bucket == Bucket.NONE:
        return [Period(None, start, end)]
    found = []
    for label, begins, ends in _cuts(start, query.bucket, query.zone):
        if begins >= end:
            break
        found.append(Period(label, max(begins, start), min(ends, end)))
        if len(found) > MOST_PERIODS:
            raise BadQuery("bucket", f"These are more than {MOST_PERIODS:,} buckets.")
    return found


def _cuts(
    start: datetime, bucket: Bucket, zone: tzinfo
) -> Iterator[tuple[datetime, datetime, datetime]]:
    """Label, beginning and end of the bucket that holds `start` and of all that follow."""
    if bucket == Bucket.HOUR:
        yield from _hours(start, zone)
        return
    first = _FIRST_DAY[bucket](start.astimezone(zone).date())
    while True:
        following = _NEXT_DAY[bucket](first)
        yield _midnight(first, zone), _instant(first, zone), _instant(following, zone)
        first = following


def _hours(start: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime, datetime]]:
    """Hours as the zone's clocks show them. One that the clocks leave early, as in Lord Howe
    when they go back by half an hour, is short."""
    at = start - _into_hour(start.astimezone(zone))
    while True:
        local = at.astimezone(zone)
        ends = at + _HOUR - _into_hour(local)
        yield local - _into_hour(local), at, ends
        at = ends


def _into_hour(local: datetime) -> timedelta:
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


_FIRST_DAY: Final[dict[Bucket, Callable[[date], date]]] = {
    Bucket.DAY: lambda day: day,
    Bucket.WEEK: lambda day: day - timedelta(days=day.weekday()),
    Bucket.MONTH: lambda day: day.replace(day=1),
}
_NEXT_DAY: Final[dict[Bucket, Callable[[date], date]]] = {
    Bucket.DAY: lambda day: day + _DAY,
    Bucket.WEEK: lambda day: day + 7 * _DAY,
    Bucket.MONTH: _next_month,
}


def _midnight(day: date, zone: tzinfo) -> datetime:
    """Where the clocks skip midnight, what they show instead."""
    return _instant(day, zone).astimezone(zone)


def _instant(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def plan_of(
    periods: list[Period],
    *,
    is_ready: Callable[[date], bool],
    rows_since: datetime | None = None,
) -> Plan:
    """The least that must be added up. `is_ready`: whether the sum of a UTC day may be used.

    Rows from before `rows_since` are gone: an edge there moves to the full hour before it.
    """
    plan = Plan()
    for number, period in enumerate(periods):
        start, end = (
            _hour_of(edge) if rows_since and edge < rows_since else edge
            for edge in (period.start, period.end)
        )
        if start < end:
            _cover(plan, number, start, end, is_ready)
    return plan


def _cover(
    plan: Plan, number: int, start: datetime, end: datetime, is_ready: Callable[[date], bool]
) -> None:
    first, last = _anchor(start, is_ready, rises=True), _anchor(end, is_ready, rises=False)
    if first >= last or end - start <= _DAY / 2:
        _add(plan, number, 1, start, end)
        return
    for day in _runs(first, last, is_ready):
        target = plan.days if is_ready(day[0].date()) else plan.hours
        target.append(Span(number, 1, *day))
    _add(plan, number, 1 if start < first else -1, *sorted((start, first)))
    _add(plan, number, 1 if end > last else -1, *sorted((end, last)))


def _anchor(edge: datetime, is_ready: Callable[[date], bool], *, rises: bool) -> datetime:
    """The midnight from which an edge is reached: the nearer one within a day that is summed up,
    else the one that lies inside of the period."""
    floor = _day_of(edge)
    if edge == floor:
        return edge
    if is_ready(floor.date()):
        return floor if edge - floor <= _DAY / 2 else floor + _DAY
    return floor + _DAY if rises else floor


def _runs(
    start: datetime, end: datetime, is_ready: Callable[[date], bool]
) -> Iterator[tuple[datetime, datetime]]:
    """Whole days in stretches that are all summed up or all not."""
    at = start
    while at < end:
        state, ends = is_ready(at.date()), at + _DAY
        while ends < end and is_ready(ends.date()) == state:
            ends += _DAY
        yield at, ends
        at = ends


def _add(plan: Plan, number: int, sign: int, start: datetime, end: datetime) -> None:
    """By whole hours as far as possible."""
    first, last = _hour_of(start), _hour_of(end)
    first = first if first == start else first + _HOUR
    if first > last:
        _append(plan.rows, Span(number, sign, start, end))
        return
    _append(plan.rows, Span(number, sign, start, first))
    _append(plan.hours, Span(number, sign, first, last))
    _append(plan.rows, Span(number, sign, last, end))


def _append(spans: list[Span], span: Span) -> None:
    if span.start < span.end:
        spans.append(span)


def _hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _day_of(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
