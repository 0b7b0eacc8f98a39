"""What of budgets is spent, held and left now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Sum

from apps.billing import budget_limits, budget_windows, held
from apps.billing.budget_windows import Window
from apps.billing.models import Budget, LedgerEntry
from apps.providers.models import Alias


class BudgetUse(NamedTuple):
    """Nano-USD in the period of now. `held_nano` None: this process cannot know."""

    amount_nano: int
    spent_nano: int
    held_nano: int | None

    @property
    def left_nano(self) -> int:
        return max(self.amount_nano - self.spent_nano - (self.held_nano or 0), 0)

    @property
    def share(self) -> float:
        """Spent and held as a part of the amount, for comparing and drawing; may pass 1."""
        used = self.spent_nano + (self.held_nano or 0)
        if not self.amount_nano:
            return 1.0
        return used / self.amount_nano


def uses_of(budgets: Sequence[Budget], now: datetime) -> dict[int, BudgetUse]:
    """By budget id, in a fixed number of queries: `amount_nano` is what the window of now has,
    raises and what rolled over included."""
    if not budgets:
        return {}
    limits = {limit.id: limit for limit in budget_limits.limits_of(budgets, now)}
    names = _alias_names(budgets)
    now_s = int(now.timestamp())
    windows = {
        budget.pk: budget_windows.windows_of(budget_windows.scope_of(budget, names), now_s)
        for budget in budgets
    }
    spent = _spent(windows)
    in_flight = held.held_nano(list(limits.values()))
    return {
        budget.pk: BudgetUse(
            limits[budget.pk].amount_at(windows[budget.pk][-1].start_s, now.timestamp())[0],
            spent[budget.pk],
            in_flight.get(budget.pk),
        )
        for budget in budgets
    }


def _alias_names(budgets: Sequence[Budget]) -> dict[int, str]:
    ids = {budget.alias_id for budget in budgets if budget.alias_id}
    return dict(Alias.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}


def _spent(windows: Mapping[int, Sequence[Window]]) -> dict[int, int]:
    """By budget id. Windows that began before their budget was made may have no row yet: they are
    summed from the ledger, all in one query."""
    keys = [(one.scope.budget_id, one.start_s) for each in windows.values() for one in each]
    rows = {row[:2]: row.settled_nano for row in budget_windows.booked(keys)}
    unseen = {
        f"b{n}": one
        for n, one in enumerate(window for each in windows.values() for window in each)
        if (one.scope.budget_id, one.start_s) not in rows and one.start_s <= one.scope.created_s
    }
    sums = _summed(unseen)
    found = dict.fromkeys(windows, 0)
    for (budget_id, _), nano in rows.items():
        found[budget_id] += nano
    for name, one in unseen.items():
        found[one.scope.budget_id] += sums[name]
    return found


def _summed(windows: Mapping[str, Window]) -> dict[str, int]:
    if not windows:
        return {}
    concerned = {name: budget_windows.within(window) for name, window in windows.items()}
    entries = LedgerEntry.objects.filter(reduce(or_, concerned.values()))
    sums = entries.aggregate(
        **{name: Sum("amount_nano", filter=those) for name, those in concerned.items()}
    )
    return {
        name: budget_windows.signed(one.scope, sums[name] or 0) for name, one in windows.items()
    }
