"""Reserve, settle, release, expire, crash and correct: limits, ledger and budgets against a model
that has nothing but a list of requests."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.billing import ledger
from apps.billing.ledger import Correction
from apps.billing.limits import BudgetLimit, BudgetState, Demand, LocalLimits, ScopeLimits
from apps.billing.models import Budget, BudgetWindow, LedgerEntry
from apps.providers.adapters.contract import Usage
from apps.usage.verify import verify
from chatvault.lib.errors import ChatVaultError
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import AT_MS, intent, settle, start
from tests.usage.world import World

EXAMPLES = int(os.environ.get("CHATVAULT_TEST_EXAMPLES", "4"))
NS = 1_000_000_000
LEASE_S = 900
AMOUNTS = {"team": 5_000, "client": 3_000, "key": 4_000}
PERIODS = {"team": "month", "client": "day", "key": "total"}
OWNERS = {"team": 31, "client": 21, "key": 11}
NANO = st.integers(0, 1_200)
INDEX = st.integers(0, 5)


class BooksMachine(RuleBasedStateMachine):
    world: World

    @initialize()
    def open_books(self) -> None:
        self.point = transaction.atomic()
        self.point.__enter__()
        self.budgets = {
            kind: Budget.objects.create(
                **{f"{kind}_id": OWNERS[kind]}, amount_nano=AMOUNTS[kind], period=PERIODS[kind]
            )
            for kind in AMOUNTS
        }
        self.limits_of = {
            kind: BudgetLimit(row.pk, row.amount_nano, PERIODS[kind])
            for kind, row in self.budgets.items()
        }
        self.scopes = tuple(
            ScopeLimits(kind, OWNERS[kind], (), (self.limits_of[kind],))
            for kind in ("key", "client", "team")
        )
        self.runner = asyncio.Runner()
        self.monotonic = 5 * NS
        self.limits = self.new_limits()
        self.held: dict[bytes, int] = {}  # the model: what open requests hold
        self.told = 0  # what the limits have heard of since they began
        self.waiting: list[tuple[bytes, int]] = []  # settled and not in the database yet
        self.booked: dict[bytes, int] = {}  # what each request is charged, with corrections
        self.batches = 0

    def new_limits(self) -> LocalLimits:
        return LocalLimits(
            lease_s=LEASE_S,
            monotonic_ns=lambda: self.monotonic,
            wall_ns=lambda: AT_MS * 1_000_000,
        )

    def teardown(self) -> None:
        if not hasattr(self, "point"):
            return
        try:
            self.ship()
            assert [found.name for found in verify() if found.differences] == []
        finally:
            transaction.set_rollback(True)
            self.point.__exit__(None, None, None)
            self.runner.close()

    def run(self, call: Any) -> Any:
        return self.runner.run(call)

    def one_of(self, known: Any, index: int) -> Any:
        keys = list(known)
        return keys[index % len(keys)]

    @rule(nano=NANO)
    def reserve(self, nano: int) -> None:
        one = uuid7_bytes()
        taken = self.told + sum(self.held.values())
        fits = all(taken + nano <= amount for amount in AMOUNTS.values())
        is_spent = any(self.told >= amount for amount in AMOUNTS.values())
        try:
            self.run(self.limits.reserve(one, self.scopes, Demand(1, nano)))
        except ChatVaultError:
            assert not fits or is_spent
            return
        assert fits
        self.held[one] = nano

    @precondition(lambda self: self.held)
    @rule(index=INDEX, nano=NANO)
    def extend(self, index: int, nano: int) -> None:
        one = self.one_of(self.held, index)
        taken = self.told + sum(self.held.values())
        fits = all(taken + nano <= amount for amount in AMOUNTS.values())
        assert self.run(self.limits.extend(one, nano)) is fits
        self.held[one] += nano if fits else 0

    @precondition(lambda self: self.held)
    @rule(index=INDEX, nano=NANO)
    def settle_one(self, index: int, nano: int) -> None:
        """Also for more than was held: what was used is owed."""
        one = self.one_of(self.held, index)
        for _ in range(2):  # a settlement that comes twice counts once
            self.run(self.limits.settle(one, tokens=1, nano_usd=nano, output_tokens=0))
        del self.held[one]
        self.told += nano
        self.waiting.append((one, nano))

    @precondition(lambda self: self.held)
    @rule(index=INDEX)
    def release(self, index: int) -> None:
        one = self.one_of(self.held, index)
        self.run(self.limits.release(one))
        del self.held[one]
        self.waiting.append((one, 0))

    @rule()
    def leases_expire(self) -> None:
        """A slot is free again; the money is held until somebody settles or releases."""
        self.monotonic += (LEASE_S + 1) * NS

    @rule()
    def ship(self) -> None:
        """Ingest books what is settled, and what it has booked is not booked again."""
        for one, nano in self.waiting:
            usage = {"usage": Usage(), "usage_source": "none"}
            paid = {"charged_nano": nano, "cost_nano": nano * 9 // 10}
            records = (intent(one), start(one), settle(one, **usage, **paid))
            self.world.write_dead(*records)
            self.world.write_dead(*records)
            self.booked[one] = nano
        self.waiting = []
        self.world.ingest()

    @rule()
    def crash(self) -> None:
        """What was open is lost and costs nothing; the next process asks the ledger."""
        self.ship()
        self.limits = self.new_limits()
        self.held = {}
        self.told = sum(self.booked.values())
        self.limits.restore(
            [
                BudgetState(row.budget_id, int(row.starts_at.timestamp()), row.settled_nano)
                for row in BudgetWindow.objects.all()
            ]
        )

    @precondition(lambda self: self.booked)
    @rule(indexes=st.sets(INDEX, min_size=1), delta=st.integers(-400, 400).filter(bool))
    def correct(self, indexes: set[int], delta: int) -> None:
        """All of a chunk, or nothing; a batch that comes twice counts once."""
        ones = {self.one_of(self.booked, index) for index in indexes}
        self.batches += 1
        asked = [Correction(UUID(bytes=one), delta) for one in sorted(ones)]
        why = {"batch_id": f"test:{self.batches}", "author": "alice", "reason": "test"}
        if any(self.booked[one] + delta < 0 for one in ones):
            with pytest.raises(ValueError, match="more than was charged"), transaction.atomic():
                ledger.adjust_many(asked, **why)
            return
        assert ledger.adjust_many(asked, **why).booked == len(ones)
        assert ledger.adjust_many(asked, **why).repeated == len(ones)
        for one in ones:
            self.booked[one] += delta

    @precondition(lambda self: hasattr(self, "point"))
    @invariant()
    def limits_hold_what_is_open(self) -> None:
        for kind, limit in self.limits_of.items():
            use = self.limits.usage_of(limit)
            expected = (self.told, sum(self.held.values()))
            assert (use.spent_nano, use.held_nano) == expected, kind

    @precondition(lambda self: hasattr(self, "point"))
    @invariant()
    def ledger_and_budgets_are_the_requests(self) -> None:
        entries = LedgerEntry.objects.filter(account="client")
        charged: dict[bytes, int] = {}
        for one, amount in entries.values_list("request_id", "amount_nano"):
            charged[one.bytes] = charged.get(one.bytes, 0) - amount
        assert charged == self.booked
        spent = set(BudgetWindow.objects.values_list("settled_nano", flat=True))
        assert spent <= {sum(self.booked.values())}
        assert BudgetWindow.objects.count() in (0, len(AMOUNTS))


def test_books_follow_the_model(world: World) -> None:
    class Machine(BooksMachine):
        pass

    Machine.world = world
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
