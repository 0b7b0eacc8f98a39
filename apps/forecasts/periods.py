"""What a forecast has to know of a budget: its window of now, its time zone, its scope."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from apps.alerts.budgets import window_of
from apps.billing.models import Budget

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


@dataclass(frozen=True)
class Scope:
    """How rows of hourly sums and of the ledger are narrowed to what the budget is on."""

    of_rollups: dict[str, Any]
    of_entries: dict[str, Any]


def window_at(budget: Budget, now: datetime) -> Window:
    zone = zone_of(budget)
    window = window_of(budget, now)
    today = now.astimezone(zone).date()
    if window.ends_at is None:
        return Window(window.starts_at, None, zone, today + timedelta(days=OPEN_DAYS))
    last = (window.ends_at - timedelta(microseconds=1)).astimezone(zone).date()
    return Window(window.starts_at, window.ends_at, zone, max(last, today))


def zone_of(budget: Budget) -> ZoneInfo:
    return ZoneInfo(getattr(budget, "time_zone", "") or "UTC")


def scope_of(budget: Budget) -> Scope:
    """Of a team, a client or a key."""
    name = next(one for one in ("team_id", "client_id", "key_id") if getattr(budget, one))
    narrowed = {name: getattr(budget, name)}
    return Scope(narrowed, narrowed)


def left_of_day(now: datetime, zone: ZoneInfo) -> float:
    """How much of the local day is still to come; days with a change of clocks are 23 or 25 h."""
    local = now.astimezone(zone)
    begin = datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)
    following = local.date() + timedelta(days=1)
    end = datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
    return min(max((end - now) / (end - begin), 0.0), 1.0)
