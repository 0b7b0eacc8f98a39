"""Hourly sums: ingest adds to them as rows come; here they are computed anew from the rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from apps.billing import budget_windows
from apps.usage import day_sums
from apps.usage.models import HourlyRollup, KeptSince, RequestLog
from chatvault.lib import failpoints

GROUP: Final = ("team_id", "client_id", "key_id", "alias")
_HOUR: Final = timedelta(hours=1)
_FAILED: Final = (RequestLog.Outcome.ERROR, RequestLog.Outcome.INTERRUPTED)
SUMS: Final[dict[str, Any]] = {
    "requests": Count("pk"),
    "errors": Count("pk", filter=Q(outcome__in=_FAILED)),
    "input_tokens": Sum("input_tokens"),
    "output_tokens": Sum("output_tokens"),
    "cached_input_tokens": Sum("cached_input_tokens"),
    "reasoning_tokens": Sum("reasoning_tokens"),
    "cost_nano": Sum("cost_nano"),
    "charged_nano": Sum("charged_nano"),
    "latency_ms_sum": Coalesce(Sum("latency_ms"), 0),
    "first_token_ms_sum": Coalesce(Sum("first_token_ms"), 0),
    "first_token_count": Count("first_token_ms"),
}


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
            HourlyRollup.objects.filter(hour=hour).delete()
            if failpoints.ARMED:
                failpoints.reach("sums-cleared")
            made = HourlyRollup.objects.bulk_create(sums_of(hour))
            count += len(made)
    return count


def sums_of(hour: datetime) -> list[HourlyRollup]:
    """What the rows of one hour add up to; not saved."""
    rows = RequestLog.objects.filter(started_at__gte=hour, started_at__lt=hour + _HOUR)
    groups = rows.order_by().values(*GROUP, place=Coalesce(F("deployment_id"), 0))
    # the sums have the names of the columns they sum: `alias` them under their own
    annotated = groups.annotate(**{f"sum_{name}": sum_ for name, sum_ in SUMS.items()})
    return [
        HourlyRollup(
            hour=hour,
            deployment_id=group["place"],
            **{name: group[name] for name in GROUP},
            **{name: group[f"sum_{name}"] for name in SUMS},
        )
        for group in annotated
    ]


def _hours(start: datetime, end: datetime) -> Iterator[datetime]:
    hour = start.replace(minute=0, second=0, microsecond=0)
    while hour < end:
        yield hour
        hour += _HOUR
