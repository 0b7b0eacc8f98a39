"""Looking says what taking would say, on each back end, and takes nothing."""

from __future__ import annotations

import asyncio

import pytest

from apps.billing.limits import Demand, Headroom
from chatvault.lib.errors import BudgetExhausted, BudgetHeld, ChatVaultError, RateLimited
from tests.billing.limits_clocked import USD, budget, quota


def _peek(clocked, *scopes, tokens=0, nano=0):
    limits = getattr(clocked.limits, "real", clocked.limits)
    return limits.peek(scopes, Demand(tokens=tokens, nano_usd=nano))


def _told(headroom: Headroom):
    return (
        headroom.limit_requests,
        headroom.remaining_requests,
        headroom.limit_tokens,
        headroom.remaining_tokens,
    )


async def _said(awaitable):
    """The refusal as callers see it, or None."""
    try:
        await awaitable
    except ChatVaultError as error:
        return (type(error), error.message, error.scope, error.headers)
    return None


async def test_it_tells_what_is_left_and_leaves_it(clocked):
    scopes = (quota("requests", 2, id=1), quota("tokens", 100, id=2), budget(USD, id=11))
    await clocked.reserve(*scopes, tokens=30, nano=USD // 4)
    for _ in range(5):
        assert _told(await _peek(clocked, *scopes, tokens=70, nano=USD // 2)) == (2, 1, 100, 70)
    assert clocked.limits.in_flight == 1
    assert clocked.limits.usage_of(scopes[2].budgets[0]).held_nano == USD // 4
    await clocked.reserve(*scopes, tokens=70, nano=USD // 2)


@pytest.mark.parametrize(
    ("case", "refused"),
    [
        ("requests", RateLimited),
        ("tokens", RateLimited),
        ("alone", RateLimited),
        ("concurrency", RateLimited),
        ("spent", BudgetExhausted),
        ("held", BudgetHeld),
    ],
)
async def test_it_refuses_as_the_real_call_does(clocked, case, refused):
    scopes = {
        "requests": (quota("requests", 1, kind="team"),),
        "tokens": (quota("tokens", 100, kind="key"),),
        "alone": (quota("tokens", 10),),
        "concurrency": (quota("concurrency", 1, kind="user"),),
        "spent": (budget(100, id=11, kind="team"),),
        "held": (budget(100, id=11),),
    }[case]
    if case not in ("alone",):
        request_id = await clocked.reserve(*scopes, tokens=60, nano=60)
        if case == "spent":
            await clocked.limits.settle(request_id, tokens=60, nano_usd=60)
    peeked = await _said(_peek(clocked, *scopes, tokens=50, nano=50))
    asked = clocked.limits.reserve(b"r" * 16, scopes, Demand(50, 50))
    assert peeked == await _said(asked)
    assert peeked is not None and peeked[0] is refused
    assert peeked[2] == scopes[0].kind


async def test_a_lapsed_window_counts_no_more(clocked):
    scope = quota("requests", 1)
    await clocked.reserve(scope)
    clocked.sleep(61)
    assert _told(await _peek(clocked, scope)) == (1, 1, None, None)


async def test_many_at_once_take_nothing(clocked):
    scope = quota("requests", 1)
    await asyncio.gather(*(_peek(clocked, scope) for _ in range(20)))
    await clocked.reserve(scope)
    with pytest.raises(RateLimited):
        await clocked.reserve(scope)
