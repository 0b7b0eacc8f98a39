"""What quotas refused, hour by hour: added by ingest, read by pages and the API."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import QuerySet, Sum

from apps.billing.models import QuotaHour

KEPT: Final = timedelta(days=92)
_HOUR_MS: Final = 3_600_000
_ADD: Final = (
    "INSERT INTO billing_quotahour (quota_id, hour, refused, observed) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (quota_id, hour) DO UPDATE SET refused = billing_quotahour.refused + "
    "excluded.refused, observed = billing_quotahour.observed + excluded.observed"
)


class Sums(NamedTuple):
    """What was refused, and what would have been by quotas that only observe."""

    refused: int = 0
    observed: int = 0


def add(at_ms: int, rows: Iterable[tuple[int, int, int]]) -> None:
    """Add to the hour: quota id, refused, observed. Call it once for what is new."""
    hour = datetime.fromtimestamp((at_ms - at_ms % _HOUR_MS) / 1000, UTC)
    written = connection.ops.adapt_datetimefield_value(hour)
    values = [
        (quota_id, written, refused, observed) for quota_id, refused, observed in sorted(rows)
    ]
    if values:
        with connection.cursor() as cursor:
            cursor.executemany(_ADD, values)


def forget(*, before: datetime) -> None:
    QuotaHour.objects.filter(hour__lt=before).delete()


def sums_since(since: datetime, quota_ids: Collection[int] | None = None) -> dict[int, Sums]:
    """By quota id; those without any are left out."""
    rows = _since(since, quota_ids).values("quota_id").annotate(r=Sum("refused"), o=Sum("observed"))
    return {row["quota_id"]: Sums(row["r"], row["o"]) for row in rows.order_by()}


def by_hour(
    since: datetime, quota_ids: Collection[int] | None = None
) -> dict[tuple[int, datetime], Sums]:
    """By quota id and hour."""
    rows = _since(since, quota_ids).values_list("quota_id", "hour", "refused", "observed")
    return {(quota_id, hour): Sums(r, o) for quota_id, hour, r, o in rows}


def _since(since: datetime, quota_ids: Collection[int] | None) -> QuerySet[QuotaHour]:
    rows = QuotaHour.objects.filter(hour__gte=since.replace(minute=0, second=0, microsecond=0))
    return rows if quota_ids is None else rows.filter(quota_id__in=quota_ids)
