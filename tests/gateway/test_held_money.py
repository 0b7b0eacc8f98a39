"""What requests in flight hold, told to the admin in the same process."""

from __future__ import annotations

import asyncio

from apps.billing.limits import LocalLimits
from apps.billing.limits.contract import BudgetLimit, Demand, ScopeLimits
from apps.gateway.wiring import held_source

KNOWN = BudgetLimit(id=1, amount_nano=1_000, period="month")
UNKNOWN = BudgetLimit(id=2, amount_nano=1_000, period="month")


async def test_a_thread_learns_what_is_held_and_what_is_unknown():
    limits = LocalLimits()
    ask = held_source(limits)
    scopes = (ScopeLimits(kind="client", id=1, budgets=(KNOWN,)),)
    await limits.reserve(b"r1", scopes, Demand(tokens=1, nano_usd=300))
    assert await asyncio.to_thread(ask, [KNOWN, UNKNOWN]) == {1: 300}
    await limits.settle(b"r1", tokens=1, nano_usd=100)
    assert await asyncio.to_thread(ask, [KNOWN, UNKNOWN]) == {1: 0}


async def test_an_event_loop_that_does_not_answer_leaves_it_unknown():
    ask = held_source(LocalLimits())
    assert ask([KNOWN]) == {}
