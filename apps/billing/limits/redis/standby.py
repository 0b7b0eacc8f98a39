"""Going on without Redis: rates by a share of each ceiling, money as far as it was granted."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from apps.billing.limits.contract import BudgetLimit, Demand, Headroom, ScopeLimits
from apps.billing.limits.local import LocalLimits
from apps.billing.limits.redis.plan import Plan
from chatvault.lib.errors import BudgetExhausted, BudgetHeld, LimitsUnavailable

RETRY = {"retry-after": "1", "retry-after-ms": "1000"}


class Standby:
    """The limits of this process alone, for as long as one outage lasts.

    A grant is money that Redis counts as held by this process. What it spends of it is told to
    Redis afterwards, so no budget is ever overdrawn.
    """

    def __init__(
        self, *, lease_s: int, monotonic_ns: Callable[[], int], wall_ns: Callable[[], int]
    ) -> None:
        self.grants: dict[int, int] = {}  # nano-USD by budget id
        self.share = 1  # processes that go on without Redis, this one among them
        self.admitted = 0
        self._clocks = (lease_s, monotonic_ns, wall_ns)
        self.begin()

    def begin(self) -> None:
        """A new outage: nothing of it is used yet."""
        lease_s, monotonic_ns, wall_ns = self._clocks
        self._limits = LocalLimits(lease_s=lease_s, monotonic_ns=monotonic_ns, wall_ns=wall_ns)
        self._scopes: dict[int, tuple[Plan, tuple[ScopeLimits, ...]]] = {}

    async def reserve(self, request_id: bytes, plan: Plan, demand: Demand) -> Headroom:
        """As `Limits.reserve`, and LimitsUnavailable where money was not granted."""
        try:
            headroom = await self._limits.reserve(request_id, self._shares(plan), demand)
        except (BudgetExhausted, BudgetHeld):
            raise LimitsUnavailable(headers=RETRY) from None
        self.admitted += 1
        return headroom

    async def extend(self, request_id: bytes, nano_usd: int) -> bool:
        return await self._limits.extend(request_id, nano_usd)

    async def settle(self, request_id: bytes, tokens: int, nano_usd: int, output: int) -> None:
        await self._limits.settle(
            request_id, tokens=tokens, nano_usd=nano_usd, output_tokens=output
        )

    async def release(self, request_id: bytes) -> None:
        await self._limits.release(request_id)

    def _shares(self, plan: Plan) -> tuple[ScopeLimits, ...]:
        known = self._scopes.get(id(plan))
        if known is None or known[0] is not plan:
            made = tuple(self._share_of(scope) for scope in plan.scopes)
            known = self._scopes[id(plan)] = (plan, made)
        return known[1]

    def _share_of(self, scope: ScopeLimits) -> ScopeLimits:
        quotas = tuple(
            msgspec.structs.replace(
                quota,
                ceiling=self._part(quota.ceiling),
                overrides=tuple(
                    msgspec.structs.replace(one, ceiling=self._part(one.ceiling))
                    for one in quota.overrides
                ),
            )
            for quota in scope.quotas
        )
        budgets = tuple(
            BudgetLimit(
                budget.id,
                self.grants.get(budget.id, 0),
                budget.period,
                refuses_at=None if budget.refuses_at is None else 100,
            )
            for budget in scope.budgets
        )
        return ScopeLimits(scope.kind, scope.id, quotas, budgets)

    def _part(self, ceiling: int) -> int:
        return max(ceiling // self.share, 1)
