"""What a rotated key leaves to its successor: its quotas and budgets."""

from __future__ import annotations

from apps.accounts.models import ApiKey
from apps.billing.budget_use import uses_of
from apps.billing.models import Budget, Quota
from chatvault.lib import clock


def carry_over(old: ApiKey, new: ApiKey) -> None:
    """The same ceilings. A budget for the whole life of the key gives on what is left of it; the
    others begin their period anew."""
    for quota in Quota.objects.filter(key=old):
        quota.pk, quota.key, quota._state.adding = None, new, True
        quota.save(force_insert=True)
    budgets = list(Budget.objects.filter(key=old).prefetch_related("stages"))
    uses = uses_of(budgets, clock.now())
    for budget in budgets:
        left = uses[budget.pk].left_nano
        is_total = budget.period == Budget.Period.TOTAL
        made = Budget.objects.create(
            key=new,
            amount_nano=left if is_total else budget.amount_nano,
            period=budget.period,
            length_days=budget.length_days,
            starts_on=budget.starts_on,
            time_zone=budget.time_zone,
            rolls_over=budget.rolls_over,
            is_active=budget.is_active,
        )
        for stage in budget.stages.all():
            stage.pk, stage.budget, stage._state.adding = None, made, True
            stage.save(force_insert=True)
