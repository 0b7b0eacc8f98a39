"""Hourly sums: ingest adds to them as rows come; here they are computed anew from the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import transaction
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncHour

from apps.billing import budget_windows
from apps.usage import day_sums
from apps.usage.latency_buckets import bucket_of_column
from apps.usage.models import HourlyRollup, KeptSince, LatencyHour, RequestLog, TagHour
from chatvault.lib import failpoints

GROUP: Final = (
    "team_id",
    "client_id",
    "key_id",
    "user_id",
    "alias",
    "deployment_id",
    "provider_id",
)
"""What sums are kept by, besides the hour."""

_MAY_BE_NONE: Final = ("user_id", "deployment_id", "provider_id")
_TAG_GROUP: Final = ("tag", "team_id", "client_id", "alias")
_LATENCY_GROUP: Final = ("team_id", "client_id", "alias", "deployment_id", "kind", "bucket")
_HOUR: Final = timedelta(hours=1)
_INSTANT: Final = timedelta(microseconds=1)
_FAILED: Final = (RequestLog.Outcome.ERROR, RequestLog.Outcome.INTERRUPTED)
_ADDED_UP: Final = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "images",
    "duration_ms",
    "searches",
    "cost_nano",
    "charged_nano",
)
SUMS: Final[dict[str, Any]] = {
    "requests": Count("pk"),
    "errors": Count("pk", filter=Q(outcome__in=_FAILED)),
    **{name: Sum(name) for name in _ADDED_UP},
    "latency_ms_sum": Coalesce(Sum("latency_ms"), 0),
    "latency_count": Count("latency_ms"),
    "first_token_ms_sum": Coalesce(Sum("first_token_ms"), 0),
    "first_token_count": Count("first_token_ms"),
}
_ASKED: Final = {f"sum_{name}": total for name, total in SUMS.items()}
# the sums have the names of the columns they sum: they are asked for under their own

Totals = dict[tuple[Any, ...], tuple[int, ...]]


class Kind(NamedTuple):
    """One table of sums: what it is kept by besides the hour, what it has, and how to get it."""

    model: type[Any]
    group: tuple[str, ...]
    sums: tuple[str, ...]
    of_rows: Callable[[Any], Totals]  # of rows that know their `hour`


def recompute(hour_start: datetime, hour_end: datetime) -> int:
    """Replace the sums of the hours in [start, end) by what the rows say; returns how many
    sums there are now. Doing it twice changes nothing.

    Hours whose rows are no longer kept stay as they are.
    """
    count = 0
    for hour in _hours(hour_start, hour_end):
        with transaction.atomic():
            budget_windows.lock()  # ingest adds to the same sums, retention takes rows away
            kept_since = KeptSince.of(KeptSince.Subject.REQUESTS)
            if kept_since is not None and hour < kept_since:
                continue
            day_sums.forget([hour])
            for kind in KINDS:
                kind.model.objects.filter(hour=hour).delete()
            if failpoints.ARMED:
                failpoints.reach("sums-cleared")
            for kind in KINDS:
                made = kind.model.objects.bulk_create(made_of(kind, hour), batch_size=1_000)
                count += len(made) if kind is KINDS[0] else 0
    return count


def recompute_all(progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """The same for all hours that have rows or sums, the latest first, an hour in a transaction:
    ingest and reports go on meanwhile. Returns how many hours there are."""
    ends = [RequestLog.objects.aggregate(first=Min("started_at"), last=Max("started_at"))]
    ends += [kind.model.objects.aggregate(first=Min("hour"), last=Max("hour")) for kind in KINDS]
    first = min((each["first"] for each in ends if each["first"]), default=None)
    if first is None:
        return 0
    kept_since = KeptSince.of(KeptSince.Subject.REQUESTS)
    last = max(each["last"] for each in ends if each["last"])
    hours = list(_hours(max(first, kept_since or first), last + _INSTANT))
    for number, hour in enumerate(reversed(hours)):
        progress(number, len(hours))
        recompute(hour, hour + _HOUR)
    progress(len(hours), len(hours))
    return len(hours)


def totals_of_rows(kind: Kind, rows: QuerySet[RequestLog]) -> Totals:
    """What rows add up to, by hour and the group of this kind of sums."""
    return kind.of_rows(rows.order_by().annotate(hour=TruncHour("started_at")))


def totals_of_hour(kind: Kind, hour: datetime) -> Totals:
    rows = RequestLog.objects.filter(started_at__gte=hour, started_at__lt=hour + _HOUR)
    return totals_of_rows(kind, rows)


def totals_kept(kind: Kind, hour: datetime) -> Totals:
    """What the sums of an hour say, in the same form."""
    names = ("hour", *kind.group)
    rows = kind.model.objects.filter(hour=hour).order_by().values_list(*names, *kind.sums)
    return {row[: len(names)]: tuple(map(int, row[len(names) :])) for row in rows}


def made_of(kind: Kind, hour: datetime) -> list[Any]:
    """The sums of an hour, computed from its rows; not saved."""
    names = ("hour", *kind.group, *kind.sums)
    return [
        kind.model(**dict(zip(names, (*group, *sums), strict=True)))
        for group, sums in totals_of_hour(kind, hour).items()
    ]


def _by_group(rows: Any) -> Totals:
    places = {f"of_{name}": Coalesce(F(name), 0) for name in _MAY_BE_NONE}
    names = [f"of_{name}" if name in _MAY_BE_NONE else name for name in GROUP]
    found = rows.annotate(**places).values_list("hour", *names).annotate(**_ASKED)
    count = len(names) + 1
    return {row[:count]: tuple(map(int, row[count:])) for row in found}


def _by_tag(rows: Any) -> Totals:
    """Rows are grouped by all their tags, and counted for each of them."""
    sums: Totals = {}
    tagged = rows.filter(tags__isnull=False)
    found = tagged.values_list("hour", "tags", "team_id", "client_id", "alias").annotate(**_ASKED)
    for hour, tags, team_id, client_id, alias, *more in found:
        for key, value in tags.items():
            group = (hour, f"{key}={value}", team_id, client_id, alias)
            before = sums.get(group, (0,) * len(more))
            sums[group] = tuple(a + int(b) for a, b in zip(before, more, strict=True))
    return sums


def _by_latency(rows: Any) -> Totals:
    sums: Totals = {}
    for kind, column in (
        (LatencyHour.Kind.TOTAL, "latency_ms"),
        (LatencyHour.Kind.FIRST, "first_token_ms"),
    ):
        found = (
            rows.filter(**{f"{column}__isnull": False})
            .annotate(place=Coalesce(F("deployment_id"), 0), bucket=bucket_of_column(column))
            .values_list("hour", "team_id", "client_id", "alias", "place", "bucket")
            .annotate(count=Count("pk"))
        )
        for *group, bucket, count in found:
            sums[(*group, kind.value, bucket)] = (int(count),)
    return sums


KINDS: Final = (
    Kind(HourlyRollup, GROUP, tuple(SUMS), _by_group),
    Kind(TagHour, _TAG_GROUP, tuple(SUMS), _by_tag),
    Kind(LatencyHour, _LATENCY_GROUP, ("count",), _by_latency),
)


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    hour = start.replace(minute=0, second=0, microsecond=0)
    while hour < end:
        yield hour
        hour += _HOUR
