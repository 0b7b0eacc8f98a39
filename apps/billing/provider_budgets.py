"""Budgets of providers: which of them have nothing left, as the ledger says.

Which provider serves is known after the money of a request is held, and may change with the next
attempt. So nothing is held here: gateways ask every second which providers have spent their
budgets, and pass those over. What is in flight then, and what is not in the ledger yet, can
come on top: some seconds of traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from apps.billing import budget_limits, budget_windows
from apps.billing.budget_windows import Window
from apps.billing.models import Budget


def spent_out(now: datetime) -> dict[int, int]:
    """The ids of providers with a budget that has nothing left now, each with the end of its period
    in epoch seconds; in a fixed number of queries."""
    budgets = list(Budget.objects.filter(is_active=True).exclude(provider=None).order_by("pk"))
    if not budgets:
        return {}
    now_s = int(now.timestamp())
    limits = {limit.id: limit for limit in budget_limits.limits_of(budgets, now)}
    windows = {
        budget.pk: budget_windows.windows_of(budget_windows.scope_of(budget), now_s)
        for budget in budgets
    }
    sums = _settled([one for each in windows.values() for one in each])
    found: dict[int, int] = {}
    for budget in budgets:
        *_, current = windows[budget.pk]
        amount, _ = limits[budget.pk].amount_at(current.start_s, now.timestamp())
        used = sum(sums[one] for one in windows[budget.pk])
        if used >= limits[budget.pk].most(amount):
            provider_id = budget.provider_id or 0
            found[provider_id] = max(found.get(provider_id, 0), current.end_s)
    return found


_unbooked: dict[Window, int] = {}
"""What the ledger said of windows without a row, which the next charge would make: so it is still
right while there is none, and need not be added up every second."""
_MOST: Final = 1000


def _settled(windows: Sequence[Window]) -> dict[Window, int]:
    keys = {(one.scope.budget_id, one.start_s): one for one in windows}
    found = {keys[row[:2]]: row.settled_nano for row in budget_windows.booked(keys)}
    if len(_unbooked) > _MOST:
        _unbooked.clear()
    for one in windows:
        if one in found:
            _unbooked.pop(one, None)
        elif one in _unbooked:
            found[one] = _unbooked[one]
        else:
            of_one = budget_windows.settled([one])
            found[one] = _unbooked[one] = next(iter(of_one.values())).settled_nano
    return found
