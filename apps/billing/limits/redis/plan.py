"""What a request asks of Redis, worked out once for the scopes of an identity."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from apps.billing.limits.contract import BudgetLimit, Headroom, QuotaLimit, ScopeLimits
from apps.billing.limits.periods import earlier_blocks, period_bounds
from apps.billing.limits.redis.script import UNITS, encode
from apps.billing.limits.windows import NS, US_PER_S, width_ns

_MOST: Final = 10_000
_NEVER_S: Final = 1 << 40


class Plan:
    """The limits of some scopes, in the order in which they are asked for.

    `starts`, `amounts`, `most` (what may be spent of the amount) and `earlier` (blocks that count
    too) are of the budgets' windows of now. `recent_nano` and `spent_nano` are what was lately
    asked at the most and spent in all; `held_nano` is in flight, `most_held_nano` was at the most
    since somebody looked.
    """

    __slots__ = (
        "amounts",
        "budgets",
        "budgets_raw",
        "ceilings",
        "closes_ns",
        "earlier",
        "held_nano",
        "kinds",
        "most",
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
        self.ceilings: list[int] = []
        self.quotas_raw = self.budgets_raw = msgspec.Raw(encode([]))
        self.starts: list[int] = []
        self.amounts: list[int] = []
        self.most: list[int] = []
        self.earlier: list[list[int]] = []
        self.opens_ns = self.closes_ns = 0
        self.recent_nano = self.spent_nano = self.held_nano = self.most_held_nano = 0
        self.used_at = 0.0

    def hold(self, nano: int) -> None:
        """Its requests hold as much more, or less."""
        self.held_nano += nano
        self.most_held_nano = max(self.most_held_nano, self.held_nano)

    def headroom(self, answer: list[Any]) -> Headroom:
        """What an answer of the script leaves."""
        _, limit_r, left_r, reset_r, limit_t, left_t, reset_t, _, _, place_r, place_t, *more = (
            answer
        )
        missed, used = more
        headroom = Headroom()
        if limit_r is not False:
            headroom.limit_requests, headroom.remaining_requests = limit_r, left_r
            headroom.reset_requests_s = reset_r / US_PER_S
            headroom.scope_requests = self.quotas[place_r - 1][0]
        if limit_t is not False:
            headroom.limit_tokens, headroom.remaining_tokens = limit_t, left_t
            headroom.reset_tokens_s = reset_t / US_PER_S
            headroom.scope_tokens = self.quotas[place_t - 1][0]
        if missed:
            headroom.observed = tuple([self.quotas[place - 1][1].id for place in missed])
        if used:
            headroom.used = tuple(
                [
                    (self.budgets[place - 1][1].id, int(nano), self.amounts[place - 1])
                    for place, nano in used
                ]
            )
        return headroom

    def windows(self) -> list[list[int]]:
        """By budget, the starts of all that counts now where that is more than one window."""
        return [
            [*earlier, start_s] if earlier else []
            for earlier, start_s in zip(self.earlier, self.starts, strict=True)
        ]

    def turn(self, wall_ns: int) -> None:
        """Ask by the ceilings of now, and for the budgets' windows of now."""
        bounds = [period_bounds(budget.period, wall_ns // NS) for _, budget in self.budgets]
        self.starts = [start_s for start_s, _ in bounds]
        self.opens_ns = max(self.starts, default=0) * NS
        self.closes_ns = min((end_s for _, end_s in bounds), default=_NEVER_S) * NS
        self._ask_for_quotas(wall_ns)
        self._ask_for_budgets(wall_ns)

    def _ask_for_budgets(self, wall_ns: int) -> None:
        self.amounts, self.most, self.earlier = [], [], []
        asked = []
        for (_, budget), start_s in zip(self.budgets, self.starts, strict=True):
            amount, until_s = budget.amount_at(start_s, wall_ns / NS)
            self._ends_at(until_s, wall_ns)
            self.amounts.append(amount)
            self.most.append(budget.most(amount))
            self.earlier.append(earlier_blocks(budget.period, start_s))
            asked.append(
                (str(budget.id), budget.period, start_s, str(self.most[-1]), self.earlier[-1],
                 bool(budget.stages))
            )  # fmt: skip
        self.budgets_raw = msgspec.Raw(encode(asked))

    def _ends_at(self, until_s: float, wall_ns: int) -> None:
        """What is asked for holds until then, and not before now: the clock may be set back."""
        if until_s < _NEVER_S:
            self.closes_ns = min(self.closes_ns, max(int(until_s * NS), wall_ns + 1))
            self.opens_ns = max(self.opens_ns, wall_ns)

    def _ask_for_quotas(self, wall_ns: int) -> None:
        asked = []
        self.ceilings = []
        for _, quota in self.quotas:
            ceiling = quota.ceiling
            if quota.overrides:
                ceiling, until_s = quota.ceiling_at(wall_ns / NS)
                self._ends_at(until_s, wall_ns)
            self.ceilings.append(ceiling)
            width_us = width_ns(quota.window_s) // 1000
            asked.append((str(quota.id), UNITS[quota.unit], width_us, ceiling, quota.observes))
        self.quotas_raw = msgspec.Raw(encode(asked))


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
