"""Any back end of limits against a small model of what `Limits` promises.

A new back end joins with a subclass of `LimitsMachine` that says how to make it (`Backend`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.billing.limits import (
    BudgetLimit,
    BudgetState,
    BudgetUsage,
    Demand,
    Headroom,
    Limits,
    LocalLimits,
    Override,
    QuotaLimit,
    ScopeLimits,
)
from chatvault.lib.errors import ChatVaultError
from tests.billing.limits_model import LEASE_S, NS, START_S, Clocks, Model
from tests.billing.limits_redis import RedisBackend, RedisWorld
from tests.servers.valkey import ValkeyServer


class Backend(Protocol):
    limits: Limits

    def crash(self, settled: list[BudgetState]) -> None: ...
    def usage_of(self, limit: BudgetLimit) -> BudgetUsage: ...
    def totals(self) -> tuple[int, int]: ...
    def close(self) -> None: ...


class LocalBackend:
    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.crash([])

    def crash(self, settled: list[BudgetState]) -> None:
        self.limits = LocalLimits(
            lease_s=LEASE_S,
            monotonic_ns=self.clocks.monotonic_ns,
            wall_ns=self.clocks.wall_ns,
        )
        self.limits.restore(settled)

    def usage_of(self, limit: BudgetLimit) -> BudgetUsage:
        return self.limits.usage_of(limit)

    def totals(self) -> tuple[int, int]:
        return self.limits.in_flight, self.limits.reserved_nano

    def close(self) -> None:
        pass


REQUEST_IDS = st.sampled_from([bytes([n]) * 16 for n in range(8)])
DEMANDS = st.builds(
    lambda tokens, share, nano: Demand(tokens, nano, tokens * share // 4),
    st.integers(0, 60),
    st.integers(0, 4),
    st.integers(0, 400),
)
RAISED = Override(9, START_S + 3600, START_S + 3 * 3600)
LOWERED = Override(1, START_S + 2 * 3600, START_S + 4 * 3600)
NANO = st.integers(0, 400)


class LimitsMachine(RuleBasedStateMachine):
    """The rules. Two keys of one client; the team is shared with nobody."""

    def make_backend(self, clocks: Clocks) -> Backend:
        return LocalBackend(clocks)

    @initialize()
    def start(self) -> None:
        self.clocks = Clocks()
        self.latest_wall = self.clocks.wall
        self.runner = asyncio.Runner()
        self.backend = self.make_backend(self.clocks)
        self.model = Model(self.clocks)
        self.amounts = {11: 600, 12: 600, 21: 1500, 31: 4000}
        self.answers: dict[bytes, Headroom] = {}
        self.compose()

    def compose(self) -> None:
        day, month, total = "day", "month", "total"
        keys = [
            ScopeLimits(
                "key",
                n,
                (QuotaLimit(n, "requests", 10, 4), QuotaLimit(10 + n, "requests", 100, 9)),
                (BudgetLimit(10 + n, self.amounts[10 + n], day),),
            )
            for n in (1, 2)
        ]
        client = ScopeLimits(
            "client",
            1,
            (
                QuotaLimit(20, "tokens", 60, 150),
                QuotaLimit(21, "requests", 10, 6),
                QuotaLimit(22, "concurrency", 1, 3),
                QuotaLimit(23, "input_tokens", 60, 90),
                QuotaLimit(24, "output_tokens", 100, 80),
                QuotaLimit(25, "requests", 100, 3, observes=True),
                QuotaLimit(26, "concurrency", 1, 1, observes=True),
                QuotaLimit(27, "input_tokens", 60, 40, observes=True),
            ),
            (BudgetLimit(21, self.amounts[21], month),),
        )
        team = ScopeLimits(
            "team",
            1,
            (
                QuotaLimit(30, "concurrency", 1, 4),
                QuotaLimit(31, "requests", 60, 5, overrides=(RAISED, LOWERED)),
            ),
            (BudgetLimit(31, self.amounts[31], total),),
        )
        self.scopes = [(key, client, team) for key in keys]

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.backend.close()
            self.runner.close()

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(call)

    @rule(rid=REQUEST_IDS, key=st.integers(0, 1), demand=DEMANDS)
    def reserve(self, rid: bytes, key: int, demand: Demand) -> None:
        scopes = self.scopes[key]
        repeated = rid in self.model.live
        expected = None if repeated else self.model.reserve(rid, scopes, demand)
        try:
            headroom = self.run(self.backend.limits.reserve(rid, scopes, demand))
        except ChatVaultError as error:
            assert type(error) is expected
            return
        assert expected is None
        if repeated:
            assert headroom == self.answers[rid]
            return
        self.answers[rid] = headroom
        assert list(headroom.budgets) == self.model.live[rid]["windows"]
        assert list(headroom.observed) == self.model.live[rid]["missed"]
        for unit in ("requests", "tokens"):
            told = [(q, s.kind) for s in scopes for q in s.quotas if q.unit.endswith(unit)]
            rooms = [
                (max(self.model.ceiling(q) - self.model.used(q), 0), kind)
                for q, kind in told
                if not q.observes
            ]
            left = min(room for room, _ in rooms)
            assert getattr(headroom, f"remaining_{unit}") == left
            assert (left, getattr(headroom, f"scope_{unit}")) in rooms

    @rule(rid=REQUEST_IDS, nano=NANO)
    def extend(self, rid: bytes, nano: int) -> None:
        ours = self.model.live.get(rid)
        fits = ours is not None and all(
            self.model.settled[window] + self.model.held(window) + nano <= self.amounts[window[0]]
            for window in ours["windows"]
        )
        assert self.run(self.backend.limits.extend(rid, nano)) is fits
        if ours is not None:
            ours["nano"] += nano if fits else 0
            self.renewed(ours)

    @rule(rid=REQUEST_IDS)
    def renew(self, rid: bytes) -> None:
        ours = self.model.live.get(rid)
        alive = ours is not None and self.renewed(ours)
        assert self.run(self.backend.limits.renew(rid)) is alive

    def renewed(self, ours: dict[str, Any]) -> bool:
        if ours["lease"] <= self.clocks.monotonic:
            return False
        ours["lease"] = self.clocks.monotonic + LEASE_S * NS
        return True

    @rule(rid=REQUEST_IDS, used=DEMANDS)
    def settle(self, rid: bytes, used: Demand) -> None:
        tokens, nano, output = used.tokens, used.nano_usd, used.output_tokens
        settling = self.backend.limits.settle(
            rid, tokens=tokens, nano_usd=nano, output_tokens=output
        )
        self.run(settling)
        if rid in self.model.live:
            self.model.resolve(rid, used, requests=1)

    @rule(rid=REQUEST_IDS)
    def release(self, rid: bytes) -> None:
        self.run(self.backend.limits.release(rid))
        if rid in self.model.live:
            self.model.resolve(rid, Demand(0, 0), requests=0)

    @rule()
    def crash_and_restore(self) -> None:
        """All reservations are lost; what was settled is told by the ledger."""
        states = [BudgetState(*key, nano) for key, nano in self.model.settled.items()]
        self.model.crash(states)
        self.backend.crash(states)

    @rule(milliseconds=st.sampled_from([1, 166, 167, 1000, 9_999, 10_167, 61_000, 900_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.clocks.monotonic += milliseconds * 1_000_000
        self.clocks.wall += milliseconds * 1_000_000

    @rule(hours=st.sampled_from([-23, -3, 1, 3, 23, 24 * 40]))
    def wall_clock_steps(self, hours: int) -> None:
        """Back by less than a day from the latest it ever showed; forward as it likes."""
        wall = self.clocks.wall + hours * 3600 * NS
        self.latest_wall = max(self.latest_wall, self.clocks.wall, wall)
        self.clocks.wall = max(wall, self.latest_wall - 23 * 3600 * NS)

    @rule(budget=st.sampled_from([11, 12, 21, 31]), amount=st.integers(100, 5000))
    def amount_changes(self, budget: int, amount: int) -> None:
        """An admin changes a budget; the next request of each key brings it along."""
        self.amounts[budget] = amount
        self.compose()
        for scopes in self.scopes:
            self.tell(scopes)

    def tell(self, scopes: tuple[ScopeLimits, ...]) -> None:
        probe = b"probe-of-amounts"
        budgets_only = tuple(ScopeLimits(s.kind, s.id, (), s.budgets) for s in scopes)
        expected = self.model.reserve(probe, budgets_only, Demand(tokens=0, nano_usd=0))
        try:
            self.run(self.backend.limits.reserve(probe, budgets_only, Demand(0, 0)))
        except ChatVaultError as error:
            assert type(error) is expected
            return
        assert expected is None
        self.model.resolve(probe, Demand(0, 0), requests=0)
        self.run(self.backend.limits.release(probe))

    @precondition(lambda self: hasattr(self, "model"))
    @invariant()
    def books_agree(self) -> None:
        nano = sum(reservation["nano"] for reservation in self.model.live.values())
        assert self.backend.totals() == (len(self.model.live), nano)
        for limit in {
            b.id: b for scopes in self.scopes for s in scopes for b in s.budgets
        }.values():
            window = self.model.window(limit)
            spent, held = self.model.settled[window], self.model.held(window)
            left = max(limit.amount_nano - spent - held, 0)
            assert self.backend.usage_of(limit) == BudgetUsage(window[1], spent, held, left)


TestLocalLimits = LimitsMachine.TestCase
TestLocalLimits.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@pytest.fixture
def redis_machine(valkey_server: ValkeyServer) -> type[LimitsMachine]:
    class RedisMachine(LimitsMachine):
        def make_backend(self, clocks: Clocks) -> Backend:
            valkey_server.flush()
            world = RedisWorld(
                valkey_server.socket_url,
                monotonic_ns=clocks.monotonic_ns,
                wall_ns=clocks.wall_ns,
                lease_s=LEASE_S,
            )
            return RedisBackend(world, self.runner)

    return RedisMachine


def test_limits_in_redis(redis_machine: type[LimitsMachine]) -> None:
    run_state_machine_as_test(
        redis_machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )
