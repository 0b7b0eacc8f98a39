"""Sums of whole UTC days, made when a day is over, for reports of long spans.

A day is summed up once. Who adds to one of its hours later, because a request came late or was
corrected, takes the sum's validity away in the same transaction (`forget`), and reports add up
hours until the job has summed the day up anew. So a sum is never wrong, only missing for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Min, Model

from apps.billing import budget_windows
from apps.billing.models import LedgerEntry
from apps.usage.latency_buckets import Histogram, bucket_sql
from apps.usage.models import (
    DayRollup,
    HourlyRollup,
    KeptSince,
    LatencyHour,
    LatencyView,
    SummedDay,
    SumView,
    TagDay,
    TagHour,
)
from apps.usage.reports import sources, tables, views
from apps.usage.reports.query import Dimension
from apps.usage.reports.tables import ADJUSTED, LATENCIES_BY, SUMS, Source
from chatvault.lib import clock

_DAY: Final = timedelta(days=1)
_KEPT_BACK: Final = timedelta(hours=2)
"""How long after midnight the day before is left alone: most of what is late comes by then."""
Progress = Callable[[int, int], None]


def forget(times: Iterable[datetime]) -> None:
    """What was at these times changes in this transaction. Days that are not over have no sums."""
    today = _day_of(clock.now())
    days = {day for at in times if (day := _day_of(at)) < today}
    if days:
        SummedDay.objects.filter(day__in=days).delete()


def adjusted(entries: Iterable[LedgerEntry]) -> None:
    """In this transaction the ledger says otherwise of these times."""
    forget({entry.booked_at for entry in entries})


def sum_up(progress: Progress | None = None) -> int:
    """Sum up every day that is over and is not summed up; returns how many were. Twice changes
    nothing."""
    missing = due()
    done = 0
    for number, day in enumerate(missing, start=1):
        done += sum_up_day(day)
        if progress is not None:
            progress(number, len(missing))
    return done


def due() -> list[datetime]:
    """The days that are over and not summed up, the latest first: they are looked at most.

    Days whose rows are partly gone are left as they are.
    """
    first = HourlyRollup.objects.aggregate(first=Min("hour"))["first"]
    if first is None:
        return []
    if since := KeptSince.of(KeptSince.Subject.REQUESTS):
        first = max(first, since)
        first = first if first == _day_of(first) else _day_of(first) + _DAY
    known = set(
        SummedDay.objects.filter(is_ready=True, form=views.FORM).values_list("day", flat=True)
    )
    days = []
    day = _day_of(clock.now() - _KEPT_BACK) - _DAY
    while day >= _day_of(first):
        if day not in known:
            days.append(day)
        day -= _DAY
    return days


def is_over(day: datetime) -> bool:
    """Whether there can be a sum of this day."""
    return day == _day_of(day) and day < _day_of(clock.now())


def sum_up_day(day: datetime) -> bool:
    """False: a request came late while it was summed up, and it has to be done again."""
    with transaction.atomic():
        budget_windows.lock()  # whoever adds to its hours now has not seen the mark
        SummedDay.objects.filter(day=day).delete()
        mark = SummedDay.objects.create(day=day, form=views.FORM)
    bounds = [connection.ops.adapt_datetimefield_value(at) for at in (day, day + _DAY)]
    with transaction.atomic():
        for model in (DayRollup, TagDay):
            model._default_manager.filter(day=day).delete()
        for view_model in (SumView, LatencyView):
            view_model._default_manager.filter(start__gte=day, start__lt=day + _DAY).delete()
        with connection.cursor() as cursor:
            for statement in _statements():
                cursor.execute(statement, [bounds[0], *bounds])
            for view in views.SUMS_OF_DAYS:
                whole = tables.TAG_DAYS if Dimension.TAG in view.dimensions else tables.DAYS
                cursor.execute(_view(view, whole), bounds)
            for view in views.SUMS_OF_HOURS:
                cursor.execute(_view(view, tables.HOURS), bounds)
        for view in views.LATENCIES_OF_DAYS:
            LatencyView.objects.bulk_create(histograms(view, day), batch_size=500)
        for view in views.LATENCIES_OF_HOURS:
            LatencyView.objects.bulk_create(histograms(view, day, by_hour=True), batch_size=500)
        if not SummedDay.objects.filter(pk=mark.pk).update(is_ready=True):
            transaction.set_rollback(True)
            return False
    return True


def _day_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def insert_hours(start: datetime, end: datetime) -> None:
    """Sums of hours that have none yet, from their rows: what rollups.recompute makes one by one,
    for many rows at once. Call it in the transaction that brings the rows."""
    bounds = [connection.ops.adapt_datetimefield_value(at) for at in (start, end)]
    with connection.cursor() as cursor:
        for model in (HourlyRollup, TagHour, LatencyHour):
            for sums in _of_hours(model):
                cursor.execute(_insertion(model, sums), bounds)


def hours_of_rows(model: type[Model]) -> list[str]:
    """What the rows between two times say that this table of sums of hours must hold: statements
    whose columns have its names; together they give all its rows."""
    return [sums.text for sums in _of_hours(model)]


class _Selection(NamedTuple):
    """A SELECT from request rows, whose last two values are the bounds of their time."""

    columns: list[str]
    text: str


def _of_hours(model: type[Model]) -> list[_Selection]:
    hour = _HOURS[connection.vendor]
    if model is LatencyHour:
        return [_latencies(kind, column, hour) for kind, column in _TIMED]
    if model is TagHour:
        return [_selection(tables.ROWS_BY_TAG, tables.TAG_HOURS, hour)]
    return [_selection(tables.ROWS, tables.HOURS, hour)]


def _statements() -> list[str]:
    """INSERT … SELECT for each table of sums; values: the day, and its bounds."""
    return [
        _insertion(model, _selection(source, of_days))
        for model, of_days, source in (
            (DayRollup, tables.DAYS, tables.ROWS),
            (DayRollup, tables.DAYS, tables.ADJUSTMENTS_OF_REQUESTS),
            (TagDay, tables.TAG_DAYS, tables.ROWS_BY_TAG),
            (TagDay, tables.TAG_DAYS, tables.ADJUSTMENTS_BY_TAG),
        )
    ]


def _view(view: Source, whole: Source) -> str:
    """INSERT … SELECT from the sums by everything; values: the bounds of the day."""
    groups = [f"r.{whole.time}", *(f"r.{column}" for column in view.dimensions.values())]
    names = (*SUMS, *ADJUSTED)
    values = [f"'{view.view}'", *groups, *(f"SUM({whole.sums[name]})" for name in names)]
    words = ["SELECT", _listed(values), "FROM", whole.table, "r", whole.between]
    words += ["GROUP BY", _listed(groups)]
    columns = ["view", "start", *view.dimensions.values(), *names]
    return _insertion(SumView, _Selection(columns, " ".join(words)))


def histograms(view: Source, day: datetime, *, by_hour: bool = False) -> list[LatencyView]:
    """What the rows of a day say of how long requests took, in the groups of a view."""
    found: dict[tuple[Any, ...], Histogram] = {}
    bounds = [connection.ops.adapt_datetimefield_value(at) for at in (day, day + _DAY)]
    with connection.cursor() as cursor:
        for kind, column in _TIMED:
            statement = _buckets(view, column, by_hour)
            cursor.execute(statement, bounds)
            for *group, bucket, count in cursor.fetchall():
                found.setdefault((kind, *group), Histogram()).count(bucket, count)
    names = ("kind", "start", *view.dimensions.values())
    return [
        LatencyView(
            view=view.view,
            **dict(zip(names, key, strict=True))
            | {"start": sources.as_instant(key[1]) if by_hour else day},
            **histogram.packed()._asdict(),
        )
        for key, histogram in found.items()
    ]


def _buckets(view: Source, column: str, by_hour: bool) -> str:
    start = _HOURS[connection.vendor] if by_hour else "''"
    groups = [start, *(sources.column_of(tables.ROWS, name) for name in view.dimensions)]
    marks = _listed(str(number) for number in range(1, len(groups) + 2))
    words = ["SELECT", _listed([*groups, bucket_sql(f"r.{column}")]), ", COUNT(*)"]
    words += ["FROM usage_requestlog r", tables.ROWS.between]
    words += [f"AND r.{column} IS NOT NULL GROUP BY", marks]
    return " ".join(words)


def _insertion(model: type[Model], sums: _Selection) -> str:
    return " ".join(
        ["INSERT INTO", model._meta.db_table, "(", _listed(sums.columns), ")", sums.text]
    )


def _selection(rows: Source, sums: Source, time: str = "") -> _Selection:
    groups = {column: sources.column_of(rows, name) for name, column in sums.dimensions.items()}
    names = SUMS if time else (*SUMS, *ADJUSTED)
    values = {sums.time: time or "%s", **groups}
    values |= {name: f"SUM({rows.sums[name]})" for name in names}
    words = ["SELECT", _named(values), "FROM"]
    words += [rows.table, "r", rows.joins.get(connection.vendor, ""), rows.between]
    words += ["GROUP BY", _listed([*groups.values(), *([time] if time else [])])]
    return _Selection(list(values), " ".join(words))


def _latencies(kind: str, column: str, hour: str) -> _Selection:
    groups = {
        place: sources.column_of(tables.ROWS, name) for name, place in LATENCIES_BY.items()
    } | {"bucket": bucket_sql(f"r.{column}")}
    values = {"hour": hour, **groups, "kind": f"'{kind}'", "count": "COUNT(*)"}
    words = ["SELECT", _named(values), "FROM usage_requestlog r"]
    words += [tables.ROWS.between, f"AND r.{column} IS NOT NULL GROUP BY"]
    words += [_listed([*groups.values(), hour])]
    return _Selection(list(values), " ".join(words))


def _named(values: dict[str, str]) -> str:
    return _listed(f"{value} AS {name}" for name, value in values.items())


_TIMED: Final = (("total", "latency_ms"), ("first", "first_token_ms"))
_HOURS: Final = {
    "postgresql": "date_trunc('hour', r.started_at, 'UTC')",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:00:00', r.started_at)",
}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
