"""Gateways learn what rolled over once a window has begun, without anybody changing anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from apps.billing import budget_windows, services
from apps.billing.limits.periods import period_bounds
from apps.billing.models import Budget
from apps.configuration import announce

LATE: Final = timedelta(minutes=10)
"""Until then what ended with the window before is surely booked: it is looked at again."""
_REMEMBERED: Final = announce.KEPT / 2


def look(now: datetime) -> bool:
    """Announce the limits if a window of a budget that rolls over has begun, or begun long enough
    ago for late charges, and they were not announced since. Twice does nothing twice."""
    due = max(_due(now), default=None)
    if due is None or announce.was_told("billing.limits", since=due):
        return False
    services.limits_changed()
    return True


def _due(now: datetime) -> Iterator[datetime]:
    now_s = int(now.timestamp())
    for budget in Budget.objects.filter(is_active=True, rolls_over=True):
        start = budget_windows.instant(period_bounds(budget.shape, now_s)[0])
        if budget.created_at < start:
            for moment in (start, start + LATE):
                if now - _REMEMBERED < moment <= now:
                    yield moment
