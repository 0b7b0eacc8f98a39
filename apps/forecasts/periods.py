"""What a forecast has to know of a budget: its window of now, its time zone, its scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from apps.alerts.budgets import window_of
from apps.billing.models import SCOPES, Budget

ROLLING: Final = "rolling"
OPEN_DAYS: Final = 90
"""So far is looked where a window has no end."""


@dataclass(frozen=True)
class Window:
    """`ends_at` None: it has no end. `last_on` is the last day that is looked at."""

    starts_at: datetime
    ends_at: datetime | None
    zone: ZoneInfo
    last_on: date
    rolling_days: int = 0


def window_at(budget: Budget, now: datetime) -> Window:
    zone = zone_of(budget)
    today = now.astimezone(zone).date()
    if budget.period == ROLLING:
        days = int(getattr(budget, "length_days", 0)) or 1
        first = today - timedelta(days=days - 1)
        start = datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC)
        return Window(start, None, zone, today + timedelta(days=OPEN_DAYS), days)
    window = window_of(budget, now)
    if window.ends_at is None:
        return Window(window.starts_at, None, zone, today + timedelta(days=OPEN_DAYS))
    last = (window.ends_at - timedelta(microseconds=1)).astimezone(zone).date()
    return Window(window.starts_at, window.ends_at, zone, max(last, today))


def zone_of(budget: Budget) -> ZoneInfo:
    return ZoneInfo(getattr(budget, "time_zone", "") or "UTC")


def kind_of(budget: Budget) -> str:
    """What the budget is on: one of SCOPES, or a tag."""
    return next((one for one in SCOPES if getattr(budget, f"{one}_id", None) is not None), "tag")


def left_of_day(now: datetime, zone: ZoneInfo) -> float:
    """How much of the local day is still to come; days with a change of clocks are 23 or 25 h."""
    local = now.astimezone(zone)
    begin = datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)
    following = local.date() + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
    return min(max((end - now) / (end - begin), 0.0), 1.0)
