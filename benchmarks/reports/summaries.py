"""Each sum that dashboards and the API ask for, over the whole log and less."""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from typing import Any

from django.db.models import Max, Min

from apps.usage.models import HourlyRollup
from apps.usage.reports.query import Bucket, Dimension, Query, zone_of
from apps.usage.reports.summary import summary

D = Dimension
ROUNDS = 5


def queries() -> dict[str, Query]:
    """Over 90 days, 30 days and a day of the log's last ones."""
    ends = HourlyRollup.objects.aggregate(first=Min("hour"), last=Max("hour"))
    end = ends["last"].replace(hour=0) + timedelta(days=1)
    first = ends["first"].replace(hour=0)
    month, day = max(first, end - timedelta(days=30)), end - timedelta(days=1)

    def asked(start: Any, bucket: str = "none", zone: str = "UTC", *by: Dimension, **more: Any):
        return Query(
            start=start, end=end, bucket=Bucket(bucket), zone=zone_of(zone), group_by=by, **more
        )

    client = HourlyRollup.objects.values_list("client_id", flat=True).order_by("pk")[0]
    return {
        "all days: totals": asked(first),
        "all days: by day": asked(first, "day"),
        "all days: by day of Berlin": asked(first, "day", "Europe/Berlin"),
        "all days: by week and team": asked(first, "week", "UTC", D.TEAM),
        "all days: by month, model and deployment": asked(
            first, "month", "UTC", D.ALIAS, D.DEPLOYMENT
        ),
        "all days: by outcome and status": asked(first, "none", "UTC", D.OUTCOME, D.STATUS),
        "all days: by team and tag": asked(first, "none", "UTC", D.TEAM, D.TAG),
        "30 days: by team and model": asked(month, "none", "UTC", D.TEAM, D.ALIAS),
        "30 days: by client and day": asked(month, "day", "UTC", D.CLIENT),
        "30 days: by key and day of New York": asked(month, "day", "America/New_York", D.KEY),
        "30 days: by user": asked(month, "none", "UTC", D.USER),
        "30 days: one client, by day and model": asked(
            month, "day", "UTC", D.ALIAS, filters={D.CLIENT: (client,)}
        ),
        "30 days: failures by day and error": asked(
            month, "day", "UTC", D.ERROR, filters={D.OUTCOME: ("error",)}
        ),
        "a day: by hour": asked(day, "hour"),
        "a day: by hour and team, of Berlin": asked(day, "hour", "Europe/Berlin", D.TEAM),
        "a day of Kolkata": asked(day - timedelta(hours=5, minutes=30), "day", "Asia/Kolkata"),
    }


def measure() -> list[dict[str, Any]]:
    found = []
    for name, query in queries().items():
        summary(query)
        times, lines = [], 0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            lines = len(summary(query).lines)
            times.append(1000 * (time.perf_counter() - began))
        one = {"name": name, "mean_ms": statistics.mean(times), "most_ms": max(times)}
        print(f"{name}: {one['mean_ms']:.0f} ms, at most {one['most_ms']:.0f}, {lines} lines")
        found.append(one | {"lines": lines})
    return found
