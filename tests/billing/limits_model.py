"""What `Limits` promises in the fewest words: lists, sums, and no hurry."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from apps.billing.limits import BudgetLimit, BudgetState, Demand, QuotaLimit, ScopeLimits
from apps.billing.limits.windows import width_ns
from chatvault.lib.errors import BudgetExhausted, BudgetHeld, RateLimited

NS = 1_000_000_000
LEASE_S = 900
START_S = int(datetime(2026, 11, 29, 22, 0, tzinfo=UTC).timestamp())


class Clocks:
    """Two clocks that only the test moves."""

    def __init__(self) -> None:
        self.monotonic = 5 * NS
        self.wall = START_S * NS

    def monotonic_ns(self) -> int:
        return self.monotonic

    def wall_ns(self) -> int:
        return self.wall


def period_start(period: str, wall_ns: int) -> int:
    at = datetime.fromtimestamp(wall_ns // NS, UTC)
    if period == "total":
        return 0
    return int(
        datetime(at.year, at.month, at.day if period == "day" else 1, tzinfo=UTC).timestamp()
    )


class Model:
    """The promise in the fewest words: lists, sums, and no hurry."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks, self.settled = clocks, defaultdict[tuple[int, int], int](int)
        self.crash([])

    def crash(self, known: list[BudgetState]) -> None:
        self.floors: dict[int, int] = {}
        for state in known:
            floor = self.floors.setdefault(state.budget_id, state.window_start_s)
            self.floors[state.budget_id] = min(floor, state.window_start_s)
        self.live: dict[bytes, dict[str, Any]] = {}
        self.bookings: list[dict[str, Any]] = []

    def slot(self, quota: QuotaLimit) -> int:
        return self.clocks.monotonic // width_ns(quota.window_s)

    def used(self, quota: QuotaLimit) -> int:
        if quota.unit == "concurrency":
            holders = [r for r in self.live.values() if quota.id in r["quotas"]]
            return sum(r["lease"] > self.clocks.monotonic for r in holders)
        ours = [b for b in self.bookings if b["id"] == quota.id]
        return sum(b["count"] for b in ours if b["slot"] >= self.slot(quota) - 60)

    def ceiling(self, quota: QuotaLimit) -> int:
        wall_s = self.clocks.wall / NS
        now = [one for one in quota.overrides if one.from_s <= wall_s < one.until_s]
        return max(now, key=lambda one: one.from_s).ceiling if now else quota.ceiling

    def missed(self, quotas: list[QuotaLimit], demand: Demand) -> list[QuotaLimit]:
        """Those that only observe and would refuse."""
        full = [q for q in quotas if self.used(q) + counted(q, demand) > self.ceiling(q)]
        return [quota for quota in full if quota.observes]

    def window(self, limit: BudgetLimit) -> tuple[int, int]:
        start_s = period_start(limit.period, self.clocks.wall)
        return limit.id, max(start_s, self.floors.get(limit.id, start_s))

    def held(self, window: tuple[int, int]) -> int:
        return sum(r["nano"] for r in self.live.values() if window in r["windows"])

    def reserve(self, rid: bytes, scopes: tuple[ScopeLimits, ...], demand: Demand) -> type | None:
        quotas = [quota for scope in scopes for quota in scope.quotas]
        budgets = [limit for scope in scopes for limit in scope.budgets]
        windows = [self.window(limit) for limit in budgets]
        self.floors.update({id: self.floors.get(id, start_s) for id, start_s in windows})
        missed = self.missed(quotas, demand)
        quotas = [quota for quota in quotas if quota not in missed]
        counts = [counted(quota, demand) for quota in quotas]
        left = [b.amount_nano - self.settled[w] for b, w in zip(budgets, windows, strict=True)]
        if any(demand.nano_usd > rest for rest in left):
            return BudgetExhausted
        if any(self.used(q) + n > self.ceiling(q) for q, n in zip(quotas, counts, strict=True)):
            return RateLimited
        if any(demand.nano_usd > r - self.held(w) for r, w in zip(left, windows, strict=True)):
            return BudgetHeld
        booked = [dict(id=q.id, unit=q.unit, slot=self.slot(q), count=n)
                  for q, n in zip(quotas, counts, strict=True)]  # fmt: skip
        self.bookings += booked
        lease = self.clocks.monotonic + LEASE_S * NS
        self.live[rid] = dict(nano=demand.nano_usd, windows=windows, booked=booked, lease=lease)
        self.live[rid].update(quotas={quota.id for quota in quotas}, budgets=budgets)
        self.live[rid]["missed"] = [quota.id for quota in missed]
        return None

    def resolve(self, rid: bytes, used: Demand, requests: int) -> None:
        reservation, nano = self.live.pop(rid), used.nano_usd
        for booking in reservation["booked"]:
            is_tokens = booking["unit"].endswith("tokens")
            booking["count"] = part(booking["unit"], used) if is_tokens else requests
        for window in reservation["windows"]:
            self.settled[window] += nano


def part(unit: str, demand: Demand) -> int:
    both = {"tokens": demand.tokens, "output_tokens": demand.output_tokens}
    return both.get(unit, demand.tokens - demand.output_tokens)


def counted(quota: QuotaLimit, demand: Demand) -> int:
    return part(quota.unit, demand) if quota.unit.endswith("tokens") else 1
