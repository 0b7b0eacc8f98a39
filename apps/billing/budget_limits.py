"""Budgets as limits know them: with their stages, raises, and what rolled over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from apps.billing import budget_windows
from apps.billing.limits.contract import BudgetLimit, QuotaLimit, Raise, Stage
from apps.billing.limits.periods import period_bounds, previous
from apps.billing.models import Budget, BudgetRaise, BudgetStage

_MINUTE_S = 60


def limits_of(budgets: Sequence[Budget], now: datetime) -> list[BudgetLimit]:
    """In the order of the budgets, in a fixed number of queries."""
    ids = [budget.pk for budget in budgets] or [0]  # asked all the same: as often for none
    raises: dict[int, list[Raise]] = defaultdict(list)
    for row in BudgetRaise.objects.to_come(now).filter(budget__in=ids).order_by("starts_at", "pk"):
        raises[row.budget_id].append(
            Raise(row.extra_nano, row.starts_at.timestamp(), row.ends_at.timestamp())
        )
    stages: dict[int, list[BudgetStage]] = defaultdict(list)
    of_these = BudgetStage.objects.filter(budget__in=ids).select_related("alias")
    for stage in of_these.order_by("at_percent", "pk"):
        stages[stage.budget_id].append(stage)
    rolled = rolled_over([budget for budget in budgets if budget.rolls_over], now)
    return [
        BudgetLimit(
            budget.pk,
            budget.amount_nano,
            budget.shape,
            refuses_at=_refuses_at(stages[budget.pk]),
            rolled=rolled.get(budget.pk, ()),
            raises=tuple(raises[budget.pk]),
            stages=tuple(_stage(one) for one in stages[budget.pk] if one.action != "refuse"),
        )
        for budget in budgets
    ]


def rolled_over(budgets: Sequence[Budget], now: datetime) -> dict[int, tuple[tuple[int, int], ...]]:
    """What the window before left of the amount itself, so at most one amount; nothing where the
    budget was made since. What had rolled over before does not roll again."""
    now_s = int(now.timestamp())
    starts, windows = {}, []
    for budget in budgets:
        start_s, _ = period_bounds(budget.shape, now_s)
        before = previous(budget.shape, start_s)
        if before is not None and budget.created_at.timestamp() < start_s:
            starts[budget.pk] = start_s
            windows.append(budget_windows.Window(budget_windows.scope_of(budget), *before))
    spent = {key[0]: row.settled_nano for key, row in budget_windows.settled(windows).items()}
    return {
        budget.pk: ((starts[budget.pk], max(budget.amount_nano - max(spent[budget.pk], 0), 0)),)
        for budget in budgets
        if budget.pk in starts
    }


def pace_quotas(limits: Iterable[BudgetLimit]) -> tuple[QuotaLimit, ...]:
    """What counts the pace of stages that slow down. They only observe: whether one refuses, the
    gateway decides by what the budget has used."""
    return tuple(
        QuotaLimit(stage.id, "requests", _MINUTE_S, stage.requests_per_minute, observes=True)
        for limit in limits
        for stage in limit.stages
        if stage.action == "throttle"
    )


def _refuses_at(stages: Sequence[BudgetStage]) -> int | None:
    """None: a budget with stages none of which refuses."""
    if not stages:
        return 100
    return next((one.at_percent for one in stages if one.action == "refuse"), None)


def _stage(row: BudgetStage) -> Stage:
    """Its quota has a number that no quota of an admin has."""
    return Stage(
        row.at_percent,
        row.action,  # type: ignore[arg-type]
        id=-row.pk,
        requests_per_minute=row.requests_per_minute or 0,
        alias=row.alias.name if row.alias else "",
    )
