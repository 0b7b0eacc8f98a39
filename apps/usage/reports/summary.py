"""Sums of requests by group and period, with what was adjusted since, and latencies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from apps.usage.latency_buckets import Histogram
from apps.usage.models import KeptSince
from apps.usage.reports import latencies, sources, tables, views
from apps.usage.reports.periods import Period, Plan, Span, periods_of, plan_of
from apps.usage.reports.query import BadQuery, Dimension, Query, Value
from apps.usage.reports.ready_days import ReadyDays
from apps.usage.reports.tables import ADJUSTED, SUMS, Source

MOST_GROUPS: Final = 50_000
_TRIES: Final = 3
Group = tuple[int, *tuple[Value, ...]]
"""The number of the period, then a value for each dimension."""


@dataclass
class Figures:
    """What one group used. Nothing at all is None and not zero."""

    sums: dict[str, int] | None = None
    adjusted_cost_nano: int = 0
    adjusted_charged_nano: int = 0
    total: Histogram = field(default_factory=Histogram)
    first: Histogram = field(default_factory=Histogram)

    @property
    def is_empty(self) -> bool:
        return self.sums is None and not (self.adjusted_cost_nano or self.adjusted_charged_nano)

    def of(self, name: str) -> int | None:
        return None if self.sums is None else self.sums[name]

    @property
    def cost_nano(self) -> int | None:
        return None if self.is_empty else (self.of("cost_nano") or 0) + self.adjusted_cost_nano

    @property
    def charged_nano(self) -> int | None:
        if self.is_empty:
            return None
        return (self.of("charged_nano") or 0) + self.adjusted_charged_nano

    @property
    def margin_nano(self) -> int | None:
        if self.cost_nano is None or self.charged_nano is None:
            return None
        return self.charged_nano - self.cost_nano

    def mean_ms(self, kind: str) -> int | None:
        """Rounded half up; None where nothing was measured."""
        total, count = self.of(f"{kind}_ms_sum"), self.of(f"{kind}_count")
        return (2 * total + count) // (2 * count) if total is not None and count else None

    def add(self, other: Figures) -> None:
        if other.sums is not None:
            mine = self.sums or dict.fromkeys(other.sums, 0)
            self.sums = {name: mine[name] + value for name, value in other.sums.items()}
        self.adjusted_cost_nano += other.adjusted_cost_nano
        self.adjusted_charged_nano += other.adjusted_charged_nano
        self.total.add(other.total)
        self.first.add(other.first)


@dataclass(frozen=True)
class Line:
    """One group in one period."""

    period: Period
    values: tuple[Value, ...]
    figures: Figures


@dataclass(frozen=True)
class Summary:
    """The answer: lines in order of time, the dearest first within a period."""

    query: Query
    periods: list[Period]
    lines: list[Line]
    total: Figures
    rows_since: datetime | None
    """Rows from before are gone: edges there are those of full hours."""


def summary(query: Query) -> Summary:
    """Raises BadQuery where no table knows what is asked together, or for too many groups."""
    periods = periods_of(query)
    since = KeptSince.of(KeptSince.Subject.REQUESTS)
    groups = _groups(query, periods, since)
    if Dimension.TAG in query.group_by:  # a request with two tags is in two groups
        whole = Query(**{**query.__dict__, "group_by": (), "fill": False})
        total = _added(_groups(whole, periods, since).values())
    else:
        total = _added(groups.values())
    return Summary(query, periods, _lines(query, periods, groups), total, since)


def _groups(query: Query, periods: list[Period], since: datetime | None) -> dict[Group, Figures]:
    for left in reversed(range(_TRIES)):
        days = ReadyDays.between(query.start, query.end) if left else ReadyDays()
        found = _figures(query, periods, days, since)
        measured = latencies.fetch(query, periods, days, since) if query.percentiles else {}
        if days.are_as_before():
            break
    if len(found) > MOST_GROUPS:
        raise BadQuery(
            "group_by", f"These are more than {MOST_GROUPS:,} groups: narrow it by a filter."
        )
    for (key, kind), histogram in measured.items():
        if key in found:
            setattr(found[key], kind, histogram)
    return found


def _figures(
    query: Query, periods: list[Period], days: ReadyDays, since: datetime | None
) -> dict[Group, Figures]:
    pieces = pieces_of(query, periods, days, since, (*SUMS, *ADJUSTED))
    if not pieces:
        return {}
    width = 1 + len(query.group_by)
    statement = sources.sums(query, pieces, (*SUMS, *ADJUSTED), MOST_GROUPS + 1)
    found = {}
    for row in sources.fetch(statement):
        *sums, cost, charged = (int(each or 0) for each in row[width:])
        of_requests = dict(zip(SUMS, sums, strict=True))
        has_requests = of_requests["requests"] != 0
        key = tuple(row[:width])
        found[key] = Figures(of_requests if has_requests else None, cost, charged)
    return found


def pieces_of(
    query: Query,
    periods: list[Period],
    days: ReadyDays,
    since: datetime | None,
    names: Sequence[str],
) -> list[tuple[Source, list[Span]]]:
    """The cheapest tables that know all that is wanted."""
    wanted = query.dimensions
    by_hour, rows = tables.HOURS, tables.ROWS
    by_day = views.of_days(wanted, names)
    if Dimension.TAG in wanted:
        is_group = Dimension.TAG in query.group_by
        rows = tables.ROWS_BY_TAG if is_group else tables.ROWS
        by_hour = tables.TAG_HOURS
        if not is_group and len(query.filters[Dimension.TAG]) > 1:
            by_day = by_hour = tables.ROWS  # a request with both tags counts once
    has_days = by_day.knows(wanted, names)
    plan = plan_of(periods, is_ready=days.has if has_days else lambda _: False, rows_since=since)
    if not by_hour.knows(wanted, names):  # then hours are made of their rows
        plan = Plan(plan.days, [], [*plan.hours, *plan.rows])
    view = views.smallest(views.SUMS_OF_HOURS, wanted, names)
    viewed, hours = days.split(plan.hours) if view else ([], plan.hours)
    pieces = [(by_day, plan.days), (view or by_hour, viewed), (by_hour, hours), (rows, plan.rows)]
    if ADJUSTED[0] in names:
        pieces.append((_adjustments(query), [*plan.hours, *plan.rows]))
    return [(source, spans) for source, spans in pieces if spans]


def _adjustments(query: Query) -> Source:
    """Sums of days hold what was adjusted; for the rest of the time the ledger is asked."""
    if Dimension.TAG in query.group_by:
        return tables.ADJUSTMENTS_BY_TAG
    wanted = query.dimensions
    is_known = tables.ADJUSTMENTS.knows(wanted, ())
    return tables.ADJUSTMENTS if is_known else tables.ADJUSTMENTS_OF_REQUESTS


def _added(figures: Iterable[Figures]) -> Figures:
    total = Figures()
    for each in figures:
        total.add(each)
    return total


def _lines(query: Query, periods: Sequence[Period], groups: dict[Group, Figures]) -> list[Line]:
    if query.fill:
        there = {key[1:] for key in groups} or ({()} if not query.group_by else set())
        for number in range(len(periods)):
            for values in there:
                groups.setdefault((number, *values), Figures())
    ordered = sorted(
        groups.items(),
        key=lambda item: (item[0][0], -(item[1].charged_nano or 0), tuple(map(str, item[0][1:]))),
    )
    return [Line(periods[key[0]], tuple(key[1:]), figures) for key, figures in ordered]
