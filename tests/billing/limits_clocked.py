"""Local limits with clocks that a test moves, and the scopes it asks with."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

from apps.billing.limits import BudgetLimit, Demand, LocalLimits, QuotaLimit, ScopeLimits
from chatvault.lib.errors import RateLimited
from tests.billing.limits_redis import RedisWorld

NS = 1_000_000_000
USD = 1_000_000_000


def epoch(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp())


class ClockedLimits:
    """Limits with clocks that the test moves, and ids that never repeat. Local ones, or by
    `through` those of another back end."""

    def __init__(self) -> None:
        self.mono_ns = 7_000 * NS
        self.wall_s = epoch(2026, 11, 23, 12)
        self.limits: Any = LocalLimits(
            monotonic_ns=lambda: self.mono_ns, wall_ns=lambda: self.wall_s * NS
        )
        self.ids = (number.to_bytes(16, "big") for number in count(1))

    async def through(self, valkey_url: str) -> RedisWorld:
        """From now on the limits are in Redis; `stop` what is returned."""
        world = RedisWorld(
            valkey_url,
            monotonic_ns=lambda: self.mono_ns,
            wall_ns=lambda: self.wall_s * NS,
        )
        self.limits = await world.start()
        return world

    def sleep(self, seconds: float) -> None:
        self.mono_ns += round(seconds * NS)
        self.wall_s += round(seconds)

    async def reserve(self, *scopes: ScopeLimits, tokens: int = 0, nano: int = 0) -> bytes:
        request_id = next(self.ids)
        await self.limits.reserve(request_id, scopes, Demand(tokens=tokens, nano_usd=nano))
        return request_id

    async def admitted(self, *scopes: ScopeLimits, attempts: int, **demand: int) -> int:
        passed = 0
        for _ in range(attempts):
            try:
                await self.reserve(*scopes, **demand)
                passed += 1
            except RateLimited:
                pass
        return passed


def quota(unit: str, ceiling: int, window_s: int = 60, id: int = 1, kind: str = "key"):
    return ScopeLimits(kind, id, quotas=(QuotaLimit(id, unit, window_s, ceiling),))


def budget(amount_nano: int, period: str = "month", id: int = 1, kind: str = "client"):
    return ScopeLimits(kind, id, budgets=(BudgetLimit(id, amount_nano, period),))
