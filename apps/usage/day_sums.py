"""Sums of whole UTC days, made when a day is over, for reports of long spans.

A day is summed up once. Who adds to one of its hours later, because a request came late, takes
the sum's validity away in the same transaction (`forget`), and reports add up hours until the job
has summed the day up anew. So a sum is never wrong, only missing for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Min, Model

from apps.billing import budget_windows
from apps.usage.latency_buckets import bucket_sql
from apps.usage.models import (
    DayRollup,
    HourlyRollup,
    KeptSince,
    LatencyDay,
    RequestLog,
    SummedDay,
    TagDay,
)
from apps.usage.reports import sources
from apps.usage.reports.sources import LATENCIES_BY, SUMS, Source
from chatvault.lib import clock

_DAY: Final = timedelta(days=1)
_KEPT_BACK: Final = timedelta(hours=2)
"""How long after midnight the day before is left alone: most of what is late comes by then."""
Progress = Callable[[int, int], None]


def forget(hours: Iterable[datetime]) -> None:
    """The sums of these hours change in this transaction. Days that are not over have no sums."""
    today = _day_of(clock.now())
    days = {day for hour in hours if (day := _day_of(hour)) < today}
    if days:
        SummedDay.objects.filter(day__in=days).delete()


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
    known = set(SummedDay.objects.filter(is_ready=True).values_list("day", flat=True))
    days = []
    day = _day_of(clock.now() - _KEPT_BACK) - _DAY
    while day >= _day_of(first):
        if day not in known:
            days.append(day)
        day -= _DAY
    return days


def sum_up_day(day: datetime) -> bool:
    """False: a request came late while it was summed up, and it has to be done again."""
    with transaction.atomic():
        budget_windows.lock()  # whoever adds to its hours now has not seen the mark
        SummedDay.objects.filter(day=day).delete()
        mark = SummedDay.objects.create(day=day)
    bounds = [connection.ops.adapt_datetimefield_value(at) for at in (day, day + _DAY)]
    with transaction.atomic():
        DayRollup.objects.filter(day=day).delete()
        LatencyDay.objects.filter(day=day).delete()
        TagDay.objects.filter(day=day).delete()
        with connection.cursor() as cursor:
            for statement in _statements():
                cursor.execute(statement, [bounds[0], *bounds])
        if not SummedDay.objects.filter(pk=mark.pk).update(is_ready=True):
            transaction.set_rollback(True)
            return False
    return True


def _day_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _statements() -> list[str]:
    """INSERT … SELECT for each table of sums; values: the day, and its bounds."""
    rows, by_tag = sources.ROWS, sources.ROWS_BY_TAG
    has_tags = sources.has_column(RequestLog, "tags")
    return [
        _insertion(DayRollup, rows, sources.DAYS),
        *([_insertion(TagDay, by_tag, sources.TAG_DAYS)] if has_tags else []),
        _latencies("total", "latency_ms"),
        _latencies("first", "first_token_ms"),
    ]


def _insertion(model: type[Model], rows: Source, sums: Source) -> str:
    groups = {column: sources.column_of(rows, name) for name, column in sums.dimensions.items()}
    added = {name: f"SUM({rows.sums[name]})" for name in SUMS}
    words = ["INSERT INTO", model._meta.db_table, "(day,", _listed([*groups, *added])]
    words += [") SELECT %s,", _listed([*groups.values(), *added.values()]), "FROM"]
    words += [rows.table, "r", rows.joins.get(connection.vendor, ""), _OF_THE_DAY]
    return " ".join([*words, "GROUP BY", _listed(groups.values())])


def _latencies(kind: str, column: str) -> str:
    groups = [sources.column_of(sources.ROWS, name) for name in LATENCIES_BY]
    groups.append(bucket_sql(f"r.{column}"))
    columns = [*LATENCIES_BY.values(), "bucket", "kind", "count"]
    words = ["INSERT INTO", LatencyDay._meta.db_table, "(day,", _listed(columns), ") SELECT %s,"]
    words += [_listed(groups), f", '{kind}', COUNT(*) FROM usage_requestlog r", _OF_THE_DAY]
    return " ".join([*words, f"AND r.{column} IS NOT NULL GROUP BY", _listed(groups)])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


_OF_THE_DAY: Final = "WHERE r.started_at >= %s AND r.started_at < %s"
