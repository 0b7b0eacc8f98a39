"""How many requests keys made since a moment, from the request log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db.models import Count, Q

from apps.usage.models import RequestLog


def requests_since(moments: Mapping[int, datetime]) -> dict[int, int]:
    """By key id, in one query; rows that retention removed are not counted."""
    since = Q(pk__in=())
    for key, moment in moments.items():
        since |= Q(key_id=key, started_at__gte=moment)
    rows = RequestLog.objects.filter(since).order_by().values("key_id")
    return {row["key_id"]: row["n"] for row in rows.annotate(n=Count("pk"))}
