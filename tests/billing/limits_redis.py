"""Limits in a real Valkey with clocks that a test moves, as the tests of local limits know them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import count

from apps.billing.limits import (
    BudgetLimit,
    BudgetState,
    BudgetUsage,
    Demand,
    Headroom,
    ScopeLimits,
)
from apps.billing.limits.redis.address import parse_address
from apps.billing.limits.redis.books import LimitsBooks, client_of
from apps.billing.limits.redis.limits import LoadedBudget, RedisLimits
from apps.billing.limits.redis.script import decode
from apps.billing.limits.windows import period_bounds

NS = 1_000_000_000
OWNER = "node/owner"


class RedisWorld:
    """One gateway process, ingest, and the ledger, in their smallest form.

    A settlement is booked at once, as ingest would do a moment later.
    """

    def __init__(
        self,
        url: str,
        *,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        lease_s: int = 900,
    ) -> None:
        self.address = parse_address(url)
        self.client = client_of(self.address, timeout_s=5)
        self.books = LimitsBooks(self.client, "test")
        self._monotonic_ns, self._wall_ns, self._lease_s = monotonic_ns, wall_ns, lease_s
        self._bookings, self._epochs = count(1), count(1)
        self._periods: dict[int, str] = {}
        self._ledger: dict[tuple[int, int], int] = defaultdict(int)
        self._known: dict[int, set[int]] = defaultdict(set)
        self._headrooms: dict[bytes, Headroom] = {}
        self.books.build(next(self._epochs), [], [], self.books.run_id())

    async def start(self, **options: float) -> RedisWorld:
        self._options = {"timeout_s": 5, "standby_s": 0, **options}
        self.real = await self.another(OWNER)
        return self

    async def another(self, owner: str, on_news: Callable[[], None] | None = None) -> RedisLimits:
        """One more gateway process of the same installation."""
        limits = RedisLimits(
            address=self.address,
            prefix="test",
            owner=owner,
            load=self._load,
            lease_s=self._lease_s,
            on_news=on_news,
            monotonic_ns=self._monotonic_ns,
            wall_ns=self._wall_ns,
            now_us=lambda: self._monotonic_ns() // 1000,
            **self._options,
        )
        await limits.start()
        assert limits.is_up
        return limits

    def build(self, *, number: int | None = None, members: Sequence[str] = ()) -> None:
        """What the keeper does for an empty server."""
        budgets = [self._loaded(budget_id) for budget_id in self._known]
        self.books.build(number or next(self._epochs), budgets, members, self.books.run_id())

    def learn_period(self, budget_id: int, period: str) -> None:
        self._periods[budget_id] = period

    async def stop(self) -> None:
        await self.real.stop()

    async def crash(self, states: Iterable[BudgetState]) -> None:
        """The process and Redis are gone; what is left is what the ledger says."""
        await self.real.stop()
        self.client.flushall()
        self._ledger.clear()
        self._known.clear()
        self._headrooms.clear()
        self._learn(states)
        self.build()
        await self.start(**self._options)

    async def reserve(
        self, request_id: bytes, scopes: tuple[ScopeLimits, ...], demand: Demand
    ) -> Headroom:
        for scope in scopes:
            for budget in scope.budgets:
                if self._periods.get(budget.id) not in (None, budget.period):
                    self._known.pop(budget.id, None)
                self._periods[budget.id] = budget.period
        headroom = await self.real.reserve(request_id, scopes, demand)
        self._headrooms[request_id] = headroom
        return headroom

    async def extend(self, request_id: bytes, nano_usd: int) -> bool:
        return await self.real.extend(request_id, nano_usd)

    async def renew(self, request_id: bytes) -> bool:
        return await self.real.renew(request_id)

    async def settle(
        self, request_id: bytes, *, tokens: int, nano_usd: int, output_tokens: int = 0
    ) -> None:
        await self.real.settle(
            request_id, tokens=tokens, nano_usd=nano_usd, output_tokens=output_tokens
        )
        await self.done()
        headroom = self._headrooms.pop(request_id, None)
        if headroom is None:
            return
        for window in headroom.budgets:
            self._ledger[window] += nano_usd
            self._known[window[0]].add(window[1])
        booking = next(self._bookings)
        told = [(*window, self._ledger[window], booking) for window in headroom.budgets]
        self.books.post(told, [(OWNER, request_id)])

    async def release(self, request_id: bytes) -> None:
        await self.real.release(request_id)
        self._headrooms.pop(request_id, None)
        await self.done()

    def restore(self, states: Iterable[BudgetState]) -> None:
        states = list(states)
        self._learn(states)
        known = {state.budget_id for state in states} & self._periods.keys()
        self.books.load([self._loaded(budget_id) for budget_id in known])

    def knows(self, budget_id: int) -> bool:
        return budget_id in self._known

    def usage_of(self, limit: BudgetLimit) -> BudgetUsage:
        start_s, _ = period_bounds(limit.period, self._wall_ns() // NS)
        key = f"test:{{limits}}:{self.books.look().number}:b:{limit.id}"
        start_s = max(start_s, int(self.client.hget(key, "f") or start_s))
        found = self.books.sums([(limit.id, start_s)]).get((limit.id, start_s))
        spent, held = (found.spent_nano, found.held_nano) if found else (0, 0)
        return BudgetUsage(start_s, spent, held, max(limit.amount_nano - spent - held, 0))

    @property
    def in_flight(self) -> int:
        return len(self._open())

    @property
    def reserved_nano(self) -> int:
        return sum(self._open())

    def _open(self) -> list[int]:
        name = f"test:{{limits}}:{self.books.look().number}:r:{OWNER}"
        entries = [decode(packed) for packed in self.client.hvals(name)]
        return [int(entry[2]) for entry in entries if entry[0] == 0]

    async def done(self, process: RedisLimits | None = None) -> None:
        """What was only told has arrived."""
        await (process or self.real)._tie.ask(5, "none")

    async def _load(self, budget_ids: Sequence[int]) -> list[LoadedBudget]:
        return [self._loaded(budget_id) for budget_id in budget_ids]

    def _learn(self, states: Iterable[BudgetState]) -> None:
        for state in states:
            self._known[state.budget_id].add(state.window_start_s)
            self._ledger[state.budget_id, state.window_start_s] = state.settled_nano

    def _loaded(self, budget_id: int) -> LoadedBudget:
        period = self._periods.get(budget_id) or PERIODS[budget_id]
        now_s, _ = period_bounds(period, self._wall_ns() // NS)
        starts = self._known.get(budget_id, set())
        booking = next(self._bookings)
        windows = [(start_s, self._ledger[budget_id, start_s], booking) for start_s in starts]
        return LoadedBudget(budget_id, period, min(starts, default=now_s), tuple(windows))


PERIODS = {11: "day", 12: "day", 21: "month", 31: "total"}
"""Of the machine's budgets, which are restored before they are asked for."""


class RedisBackend:
    """For the machine, which is not asynchronous itself."""

    def __init__(self, world: RedisWorld, runner: asyncio.Runner) -> None:
        self.limits, self._runner = world, runner
        runner.run(world.start())

    def crash(self, settled: list[BudgetState]) -> None:
        self._runner.run(self.limits.crash(settled))

    def usage_of(self, limit: BudgetLimit) -> BudgetUsage:
        return self.limits.usage_of(limit)

    def totals(self) -> tuple[int, int]:
        return self.limits.in_flight, self.limits.reserved_nano

    def close(self) -> None:
        self._runner.run(self.limits.stop())
        self.limits.client.close()
