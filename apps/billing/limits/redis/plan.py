"""What a request asks of Redis, worked out once for the scopes of an identity."""

from __future__ import annotations

from typing import Final

import msgspec

from apps.billing.limits.contract import BudgetLimit, QuotaLimit, ScopeLimits
from apps.billing.limits.redis.script import UNITS, encode
from apps.billing.limits.windows import NS, period_bounds, width_ns

_MOST: Final = 10_000


class Plan:
    """The limits of some scopes, in the order in which they are asked for.

    `recent_nano` and `spent_nano` are what was lately asked at the most and spent in all;
    `held_nano` is in flight, `most_held_nano` was at the most since somebody looked.
    """

    __slots__ = (
        "budgets",
        "budgets_raw",
        "closes_ns",
        "held_nano",
        "kinds",
        "most_held_nano",
        "opens_ns",
        "quotas",
        "quotas_raw",
        "recent_nano",
        "scopes",
        "spent_nano",
        "starts",
        "used_at",
    )

    def __init__(self, scopes: tuple[ScopeLimits, ...]) -> None:
        self.scopes = scopes
        self.quotas: list[tuple[str, QuotaLimit]] = []
        self.budgets: list[tuple[str, BudgetLimit]] = []
        for scope in scopes:
            self.quotas.extend((scope.kind, quota) for quota in scope.quotas)
            self.budgets.extend((scope.kind, budget) for budget in scope.budgets)
        asked = [
            (str(quota.id), UNITS[quota.unit], width_ns(quota.window_s) // 1000, quota.ceiling)
            for _, quota in self.quotas
        ]
        self.quotas_raw = msgspec.Raw(encode(asked))
        self.budgets_raw = msgspec.Raw(encode([]))
        self.starts: list[int] = []
        self.opens_ns = 0
        self.closes_ns = 0 if self.budgets else 1 << 63
        self.recent_nano = self.spent_nano = self.held_nano = self.most_held_nano = 0
        self.used_at = 0.0

    def hold(self, nano: int) -> None:
        """Its requests hold as much more, or less."""
        self.held_nano += nano
        self.most_held_nano = max(self.most_held_nano, self.held_nano)

    def turn(self, wall_ns: int) -> None:
        """Ask for the budgets' windows of now."""
        bounds = [period_bounds(budget.period, wall_ns // NS) for _, budget in self.budgets]
        self.starts = [start_s for start_s, _ in bounds]
        self.opens_ns = max(self.starts) * NS
        self.closes_ns = min(end_s for _, end_s in bounds) * NS
        asked = [
            (str(budget.id), budget.period, start_s, str(budget.amount_nano))
            for (_, budget), start_s in zip(self.budgets, self.starts, strict=True)
        ]
        self.budgets_raw = msgspec.Raw(encode(asked))


class Plans:
    """Plans by the scopes object that identities share; forgotten all at once when many."""

    def __init__(self) -> None:
        self._known: dict[int, Plan] = {}

    def of(self, scopes: tuple[ScopeLimits, ...], wall_ns: int) -> Plan:
        plan = self._known.get(id(scopes))
        if plan is None or plan.scopes is not scopes:
            if len(self._known) >= _MOST:
                self._known.clear()
            plan = self._known[id(scopes)] = Plan(scopes)
        if not plan.opens_ns <= wall_ns < plan.closes_ns:
            plan.turn(wall_ns)
        return plan

    def used_since(self, moment: float) -> list[Plan]:
        return [plan for plan in self._known.values() if plan.used_at >= moment]
