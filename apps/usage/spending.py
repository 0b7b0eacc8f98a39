"""What teams, clients and keys were charged, from the hourly sums: see apps.billing.spending."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db.models import Sum

from apps.billing.spending import Kind
from apps.usage.models import HourlyRollup


def from_rollups(kind: Kind, ids: Collection[int], since: datetime) -> Mapping[int, int]:
    """Nano-USD by id since an hour, in one query; who was charged nothing is left out."""
    column = f"{kind}_id"
    rows = (
        HourlyRollup.objects.filter(hour__gte=since, **{f"{column}__in": ids})
        .order_by()
        .values_list(column)
        .annotate(total=Sum("charged_nano"))
    )
    return dict(rows)
