"""What of budgets is spent, held and left now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import NamedTuple, cast

from django.db.models import Q, Sum

from apps.billing import held
from apps.billing.budget_windows import instant
from apps.billing.limits.contract import BudgetLimit, Period
from apps.billing.limits.windows import period_bounds
from apps.billing.models import Budget, BudgetWindow, LedgerEntry


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
    """By budget id, in at most two queries."""
    if not budgets:
        return {}
    starts = {budget.pk: _start_of(budget, now) for budget in budgets}
    windows: dict[tuple[int, datetime], int] = {
        (budget_id, starts_at): nano
        for budget_id, starts_at, nano in BudgetWindow.objects.filter(
            budget_id__in=starts, starts_at__in=set(starts.values())
        ).values_list("budget_id", "starts_at", "settled_nano")
    }
    unseen = [
        budget
        for budget in budgets
        # made within its period: what came before is in the ledger, but in no window yet
        if (budget.pk, starts[budget.pk]) not in windows and budget.created_at >= starts[budget.pk]
    ]
    summed = _summed(unseen, starts)
    limits = [BudgetLimit(b.pk, b.amount_nano, cast(Period, b.period)) for b in budgets]
    in_flight = held.held_nano(limits)
    return {
        budget.pk: BudgetUse(
            budget.amount_nano,
            windows.get((budget.pk, starts[budget.pk]), summed.get(budget.pk, 0)),
            in_flight.get(budget.pk),
        )
        for budget in budgets
    }


def _start_of(budget: Budget, now: datetime) -> datetime:
    return instant(period_bounds(cast(Period, budget.period), int(now.timestamp()))[0])


def _summed(budgets: list[Budget], starts: dict[int, datetime]) -> dict[int, int]:
    """What the ledger says of budgets that have no window yet."""
    if not budgets:
        return {}
    concerned = {
        budget.pk: Q(booked_at__gte=starts[budget.pk], **_scope_of(budget)) for budget in budgets
    }
    entries = LedgerEntry.objects.filter(
        reduce(or_, concerned.values()), account=LedgerEntry.Account.CLIENT
    )
    sums = entries.aggregate(
        **{f"b{pk}": Sum("amount_nano", filter=those) for pk, those in concerned.items()}
    )
    return {pk: -(sums[f"b{pk}"] or 0) for pk in concerned}


def _scope_of(budget: Budget) -> dict[str, int]:
    for name in ("team_id", "client_id", "key_id"):
        owner_id = getattr(budget, name)
        if owner_id is not None:
            return {name: owner_id}
    return {}
