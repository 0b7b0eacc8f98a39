"""What requests in flight hold, told to the admin in the same process."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from apps.billing import held
from apps.billing.limits import LocalLimits
from apps.billing.limits.contract import BudgetLimit, Demand, ScopeLimits
from apps.gateway.wiring import Wiring, held_source
from tests.factories import make_budget

KNOWN = BudgetLimit(id=1, amount_nano=1_000, period="month")
UNKNOWN = BudgetLimit(id=2, amount_nano=1_000, period="month")
UNKNOWN_YET = BudgetLimit(id=2**40, amount_nano=1_000, period="month")


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


@pytest.mark.django_db(transaction=True)
async def test_a_running_gateway_is_asked_and_a_stopped_one_is_not():
    budget = await sync_to_async(make_budget)()
    limit = BudgetLimit(id=budget.pk, amount_nano=budget.amount_nano, period="month")
    wiring = Wiring()
    await wiring.start()
    try:
        assert await asyncio.to_thread(held.held_nano, [limit, UNKNOWN_YET]) == {budget.pk: 0}
    finally:
        await wiring.stop()
    assert held.held_nano([limit]) == {}
