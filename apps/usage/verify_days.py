"""Sums of days against those of their hours, what the ledger adjusted, and their own views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from apps.usage.findings import EXAMPLES, Example, Finding
from apps.usage.latency_buckets import Histogram
from apps.usage.models import LatencyHour, LatencyView, SummedDay
from apps.usage.reports import sources, tables, views
from apps.usage.reports.query import Dimension
from apps.usage.reports.tables import ADJUSTED, SUMS, Source

_DAY: Final = timedelta(days=1)
_CODE: Final = "days"
_NAME: Final = "sums of days equal those of their hours and what was adjusted"
_KINDS: Final = ("kind", *tables.LATENCIES_BY.values())


def findings(since: datetime) -> Iterator[Finding]:
    """Of each day that reports may use."""
    checked = differences = 0
    examples: list[Example] = []
    ready = SummedDay.objects.filter(is_ready=True, form=views.FORM, day__gte=since)
    for day in ready.order_by("day").values_list("day", flat=True):
        wrong = list(_wrong(day))
        checked += 1
        differences += bool(wrong)
        if wrong and len(examples) < EXAMPLES:
            text = f"{day:%Y-%m-%d}: {', '.join(wrong)}"
            examples.append(Example(text, "day", day.isoformat()))
    yield Finding(_NAME, checked, differences, examples, _CODE)


def _wrong(day: datetime) -> Iterator[str]:
    """What of a day is not what it should be."""
    for kept, right, names in _compared():
        if _differ(day, kept, right, names):
            yield kept.view or kept.table
    yield from _latencies(day)


def _compared() -> Iterator[tuple[Source, Source, tuple[str, ...]]]:
    """Which table must agree with which other one, and in what, by all that both know."""
    yield tables.DAYS, tables.HOURS, SUMS
    yield tables.DAYS, tables.ADJUSTMENTS, ADJUSTED
    yield tables.TAG_DAYS, tables.TAG_HOURS, SUMS
    for view in views.SUMS_OF_DAYS:
        whole = tables.TAG_DAYS if Dimension.TAG in view.dimensions else tables.DAYS
        yield view, whole, (*SUMS, *ADJUSTED)
    for view in views.SUMS_OF_HOURS:
        yield view, tables.HOURS, (*SUMS, *ADJUSTED)


def _differ(day: datetime, kept: Source, right: Source, names: tuple[str, ...]) -> bool:
    known = [name for name in kept.dimensions if name in right.dimensions]
    bounds = [sources.instant(day), sources.instant(day + _DAY)]
    sides = [_side(kept, known, names, ""), _side(right, known, names, "-1 * ")]
    groups = ", ".join(f"k{number}" for number in range(len(known)))
    differs = " OR ".join(f"SUM({name}) <> 0" for name in names)
    words = ["SELECT 1 FROM (", " UNION ALL ".join(sides), ") both_sides GROUP BY", groups]
    statement = " ".join([*words, "HAVING", differs, "LIMIT 1"])
    with connection.cursor() as cursor:
        cursor.execute(statement, [*bounds, *bounds])
        return cursor.fetchone() is not None


def _side(source: Source, known: Iterable[Dimension], names: Iterable[str], sign: str) -> str:
    columns = [
        f"{sources.column_of(source, dimension)} AS k{number}"
        for number, dimension in enumerate(known)
    ]
    columns += [f"{sign}{source.sums[name]} AS {name}" for name in names]
    return " ".join(["SELECT", ", ".join(columns), "FROM", source.table, "r", source.between])


def _latencies(day: datetime) -> Iterator[str]:
    """Histograms of a day: those of hours, added up in each way that there is a view of."""
    hours = LatencyHour.objects.filter(hour__gte=day, hour__lt=day + _DAY)
    right: dict[tuple[Any, ...], Histogram] = {}
    for *group, bucket, count in hours.values_list(*_KINDS, "bucket", "count").iterator():
        right.setdefault(tuple(group), Histogram()).count(bucket, count)
    rows = LatencyView.objects.filter(start__gte=day, start__lt=day + _DAY)
    for view in (*views.LATENCIES_OF_DAYS, *views.LATENCIES_OF_HOURS):
        by = ("kind", *(name for name in _KINDS[1:] if name in view.dimensions.values()))
        kept: dict[tuple[Any, ...], int] = {}
        told = rows.filter(view=view.view).values_list(*by, "lowest", "counts")
        for *group, lowest, counts in told.iterator():
            key = tuple(group)
            kept[key] = kept.get(key, 0) + Histogram.of(lowest, bytes(counts)).number
        if kept != _by(by, right):
            yield f"latencies by {view.view}"


def _by(names: tuple[str, ...], whole: dict[tuple[Any, ...], Histogram]) -> dict[Any, int]:
    places = [_KINDS.index(name) for name in names]
    found: dict[tuple[Any, ...], int] = {}
    for key, histogram in whole.items():
        group = tuple(key[place] for place in places)
        found[group] = found.get(group, 0) + histogram.number
    return found
