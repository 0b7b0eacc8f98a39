"""Budgets of providers: what is left of them, as the ledger says.

Which provider serves is known after the money of a request is held, and may change with the next
attempt. So nothing is held here: gateways ask every second what is left, take off what they spent
themselves since, and pass over providers that have nothing. What is in flight then, and what
other gateways spent in the last seconds, can come on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from apps.billing import budget_limits, budget_windows
from apps.billing.budget_windows import Window
from apps.billing.models import Budget

Left = tuple[int, int]
"""Nano-USD that are left of a budget, at least 0, and the end of its period in epoch seconds."""


def left(now: datetime) -> dict[int, Left]:
    """By the id of each provider that has budgets: of the one that has the least left, and of
    those that have nothing the one that ends last. In a fixed number of queries."""
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
    found: dict[int, Left] = {}
    for budget in budgets:
        *_, current = windows[budget.pk]
        amount, _ = limits[budget.pk].amount_at(current.start_s, now.timestamp())
        used = sum(sums[one] for one in windows[budget.pk])
        one = max(limits[budget.pk].most(amount) - used, 0), current.end_s
        provider_id = budget.provider_id or 0
        found[provider_id] = min(found.get(provider_id, one), one, key=lambda it: (it[0], -it[1]))
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
