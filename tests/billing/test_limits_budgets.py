from __future__ import annotations

import asyncio

import pytest

from apps.billing.limits import (
    BudgetLimit,
    BudgetState,
    BudgetUsage,
    Demand,
    QuotaLimit,
    ScopeLimits,
)
from chatvault.lib.errors import BudgetExhausted, BudgetHeld, RateLimited
from tests.billing.limits_clocked import USD, ClockedLimits, budget, epoch, quota


async def test_a_refused_request_consumes_nothing(clocked):
    roomy, tight = quota("tokens", 100, id=1), quota("requests", 1, id=2, kind="client")
    purse = budget(10 * USD)
    await clocked.reserve(tight)
    for _ in range(5):
        with pytest.raises(RateLimited):
            await clocked.reserve(roomy, purse, tight, tokens=60, nano=USD)
    headroom = await clocked.limits.reserve(b"n" * 16, (roomy, purse), Demand(60, USD))
    assert headroom.remaining_tokens == 40
    assert clocked.limits.usage_of(purse.budgets[0]).held_nano == USD
    assert clocked.limits.in_flight == 2


async def test_a_repeated_reserve_returns_the_first_answer_and_takes_nothing(clocked):
    scopes = (quota("requests", 5), budget(100))
    first = await clocked.limits.reserve(b"r" * 16, scopes, Demand(1, 60))
    again = await clocked.limits.reserve(b"r" * 16, scopes, Demand(1, 60))
    assert again == first
    assert clocked.limits.reserved_nano == 60
    assert (await clocked.limits.reserve(b"s" * 16, scopes, Demand(1, 40))).remaining_requests == 3


async def test_a_reservation_resolves_exactly_once(clocked):
    purse = budget(100)
    request_id = await clocked.reserve(purse, nano=60)
    await clocked.limits.settle(request_id, tokens=0, nano_usd=50)
    await clocked.limits.settle(request_id, tokens=0, nano_usd=50)
    await clocked.limits.release(request_id)
    assert not await clocked.limits.extend(request_id, 1)
    assert clocked.limits.usage_of(purse.budgets[0]) == BudgetUsage(epoch(2026, 11, 1), 50, 0, 50)
    assert (clocked.limits.in_flight, clocked.limits.reserved_nano) == (0, 0)


async def test_a_budget_is_spent_exactly_and_then_exhausted(clocked):
    purse = budget(100)
    await clocked.limits.settle(await clocked.reserve(purse, nano=80), tokens=0, nano_usd=70)
    request_id = await clocked.reserve(purse, nano=30)
    await clocked.limits.settle(request_id, tokens=0, nano_usd=30)
    with pytest.raises(BudgetExhausted) as refused:
        await clocked.reserve(purse, nano=1)
    assert refused.value.headers == {"x-should-retry": "false"}
    assert refused.value.http_status == 402


async def test_what_only_requests_in_flight_hold_is_a_429_that_asks_to_come_back(clocked):
    purse = budget(100)
    holder = await clocked.reserve(purse, nano=80)
    with pytest.raises(BudgetHeld) as refused:
        await clocked.reserve(purse, nano=30)
    assert refused.value.headers == {"retry-after": "1", "retry-after-ms": "1000"}
    with pytest.raises(BudgetHeld):
        await clocked.reserve(purse, nano=100)
    await clocked.limits.settle(holder, tokens=0, nano_usd=70)
    await clocked.reserve(purse, nano=30)


async def test_a_demand_that_what_is_spent_rules_out_is_exhausted_even_while_money_is_held(clocked):
    purse = budget(100)
    await clocked.reserve(purse, nano=80)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=101)


async def test_a_settlement_above_what_was_held_is_booked_in_full(clocked):
    purse = budget(100)
    await clocked.limits.settle(await clocked.reserve(purse, nano=80), tokens=0, nano_usd=250)
    assert clocked.limits.usage_of(purse.budgets[0]).spent_nano == 250
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse)


async def test_a_raised_amount_counts_at_once(clocked):
    await clocked.reserve(budget(100), nano=100)
    with pytest.raises(BudgetHeld):
        await clocked.reserve(budget(100), nano=50)
    await clocked.reserve(budget(150), nano=50)


async def test_an_extension_is_judged_by_the_latest_amount(clocked):
    request_id = await clocked.reserve(budget(100), nano=100)
    assert not await clocked.limits.extend(request_id, 50)
    await clocked.reserve(budget(150))
    assert await clocked.limits.extend(request_id, 50)
    await clocked.reserve(budget(200))
    await clocked.reserve(budget(170))
    assert not await clocked.limits.extend(request_id, 30)


async def test_a_budget_whose_period_changes_counts_what_the_ledger_says_of_the_new_one(clocked):
    states = [(epoch(2026, month, 1), 10) for month in (9, 10, 11)]
    clocked.limits.restore([BudgetState(1, start_s, nano) for start_s, nano in states])
    await clocked.reserve(budget(100), nano=10)
    whole = budget(100, "total")
    await clocked.reserve(whole)
    clocked.limits.restore([BudgetState(1, 0, 30)])
    headroom = await clocked.limits.reserve(b"w" * 16, (whole,), Demand(0, 70))
    assert headroom.budgets == ((1, 0),)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(whole, nano=71)


async def test_an_extension_holds_more_in_every_budget_or_in_none(clocked):
    key, team = budget(100, id=1), budget(120, id=2, kind="team")
    request_id = await clocked.reserve(key, team, nano=60)
    await clocked.reserve(team, nano=30)
    assert not await clocked.limits.extend(request_id, 40)  # the key has it, the team has not
    assert clocked.limits.usage_of(key.budgets[0]).held_nano == 60
    assert await clocked.limits.extend(request_id, 30)
    assert clocked.limits.usage_of(key.budgets[0]).held_nano == 90
    await clocked.limits.release(request_id)
    assert clocked.limits.usage_of(key.budgets[0]).held_nano == 0
    assert clocked.limits.usage_of(team.budgets[0]).held_nano == 30


async def test_a_settlement_after_the_turn_of_the_month_is_booked_where_it_was_held(clocked):
    purse = budget(100)
    clocked.wall_s = epoch(2026, 11, 30, 23, 59, 59)
    headroom = await clocked.limits.reserve(b"o" * 16, (purse,), Demand(0, 100))
    assert headroom.budgets == ((1, epoch(2026, 11, 1)),)
    clocked.wall_s = epoch(2026, 12, 1)
    assert (await clocked.limits.reserve(b"n" * 16, (purse,), Demand(0, 100))).budgets == (
        (1, epoch(2026, 12, 1)),
    )
    await clocked.limits.settle(b"o" * 16, tokens=0, nano_usd=100)
    assert clocked.limits.usage_of(purse.budgets[0]) == BudgetUsage(epoch(2026, 12, 1), 0, 100, 0)
    clocked.wall_s = epoch(2026, 11, 30, 23)
    assert clocked.limits.usage_of(purse.budgets[0]) == BudgetUsage(epoch(2026, 11, 1), 100, 0, 0)


@pytest.mark.parametrize(
    ("period", "last", "first"),
    [
        ("day", (2026, 11, 23, 23, 59, 59), (2026, 11, 24)),
        ("month", (2026, 12, 31, 23, 59, 59), (2027, 1, 1)),
        ("month", (2028, 2, 29, 23, 59, 59), (2028, 3, 1)),
    ],
)
async def test_a_period_ends_at_midnight_utc(clocked, period, last, first):
    purse = budget(100, period)
    clocked.wall_s = epoch(*last)
    await clocked.reserve(purse, nano=100)
    clocked.wall_s = epoch(*first)
    headroom = await clocked.limits.reserve(b"n" * 16, (purse,), Demand(0, 100))
    assert headroom.budgets == ((1, epoch(*first)),)


async def test_a_total_budget_never_opens_again(clocked):
    purse = budget(100, "total")
    await clocked.limits.settle(await clocked.reserve(purse, nano=100), tokens=0, nano_usd=100)
    clocked.wall_s = epoch(2044, 1, 1)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=1)


async def test_a_clock_that_steps_back_opens_no_window_again(clocked):
    purse = budget(100, "day")
    for day in (23, 24, 25):
        clocked.wall_s = epoch(2026, 11, day)
        await clocked.limits.settle(await clocked.reserve(purse, nano=100), tokens=0, nano_usd=100)
    clocked.wall_s = epoch(2026, 11, 26)
    await clocked.reserve(purse)
    for day in (25, 24, 23, 22, 1):
        clocked.wall_s = epoch(2026, 11, day)
        with pytest.raises(BudgetExhausted):
            await clocked.reserve(purse, nano=1)
    clocked.wall_s = epoch(2026, 11, 26)
    await clocked.reserve(purse, nano=100)


async def test_a_clock_that_steps_back_opens_no_window_that_was_not_restored(clocked):
    """The ledger knows what was spent in the older period; this process does not."""
    purse = budget(100, "day")
    clocked.limits.restore([BudgetState(1, epoch(2026, 11, 23), 100)])
    clocked.wall_s = epoch(2026, 11, 22, 23, 59, 59)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=1)
    assert clocked.limits.usage_of(purse.budgets[0]).window_start_s == epoch(2026, 11, 23)


async def test_a_restored_window_counts_however_old_it_is_when_the_clock_says_so(clocked):
    purse = budget(100, "day")
    days = [epoch(2026, 11, day) for day in (21, 22, 23)]
    clocked.wall_s = days[0]
    clocked.limits.restore([BudgetState(1, start_s, 0) for start_s in reversed(days)])
    await clocked.reserve(purse, nano=10)
    clocked.limits.restore([BudgetState(1, days[0], 100)])
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=1)


async def test_the_windows_of_a_former_period_do_not_count_in_the_new_one(clocked):
    daily, monthly = budget(100, "day"), budget(100, "month")
    for day in (22, 23):
        clocked.wall_s = epoch(2026, 11, day)
        await clocked.limits.settle(await clocked.reserve(daily, nano=90), tokens=0, nano_usd=90)
    await clocked.reserve(monthly)
    clocked.wall_s = epoch(2026, 12, 1)
    await clocked.reserve(monthly)
    clocked.wall_s = epoch(2026, 11, 30)
    headroom = await clocked.limits.reserve(b"b" * 16, (monthly,), Demand(0, 100))
    assert headroom.budgets == ((1, epoch(2026, 11, 1)),)


async def test_after_a_change_of_period_no_older_window_is_opened(clocked):
    await clocked.limits.settle(
        await clocked.reserve(budget(100, "total"), nano=9), tokens=0, nano_usd=9
    )
    monthly = budget(100, "month")
    await clocked.limits.settle(await clocked.reserve(monthly, nano=100), tokens=0, nano_usd=100)
    clocked.wall_s = epoch(2026, 10, 31)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(monthly, nano=1)


async def test_a_restored_budget_is_what_the_ledger_says_and_not_a_sum(clocked):
    purse = budget(100)
    states = [
        BudgetState(budget_id=1, window_start_s=epoch(2026, 10, 1), settled_nano=100),
        BudgetState(budget_id=1, window_start_s=epoch(2026, 11, 1), settled_nano=70),
    ]
    assert not clocked.limits.knows(1)
    clocked.limits.restore(states)
    clocked.limits.restore(states)
    assert clocked.limits.knows(1)
    await clocked.reserve(purse, nano=30)
    clocked.limits.restore(states)
    assert clocked.limits.usage_of(purse.budgets[0]) == BudgetUsage(epoch(2026, 11, 1), 70, 30, 0)


async def test_a_restored_window_is_corrected_and_a_forgotten_one_is_let_be():
    """Of limits in memory: elsewhere the ledger corrects and keys expire."""
    clocked = ClockedLimits()
    purse = budget(100)
    clocked.limits.correct(1, epoch(2026, 11, 1), -1)
    clocked.limits.restore([BudgetState(1, epoch(2026, 11, 1), 70)])
    clocked.limits.correct(1, epoch(2026, 11, 1), -40)
    clocked.limits.correct(1, epoch(2026, 10, 1), -40)
    assert clocked.limits.usage_of(purse.budgets[0]) == BudgetUsage(epoch(2026, 11, 1), 30, 0, 70)


async def test_of_five_hundred_at_once_exactly_the_seven_that_fit_pass(clocked):
    scopes = (budget(500, id=1), budget(7 * 60 + 59, id=2, kind="team"), quota("requests", 999))
    results = await asyncio.gather(
        *(clocked.reserve(*scopes, tokens=1, nano=60) for _ in range(500)), return_exceptions=True
    )
    passed = [result for result in results if isinstance(result, bytes)]
    assert len(passed) == 7
    assert sum(isinstance(result, BudgetHeld) for result in results) == 493
    for request_id in passed:
        await clocked.limits.settle(request_id, tokens=1, nano_usd=60)
    assert clocked.limits.usage_of(scopes[1].budgets[0]).spent_nano == 420
    assert clocked.limits.in_flight == 0


async def test_idle_windows_are_forgotten_and_busy_ones_are_not():
    """Of limits in memory: elsewhere the ledger corrects and keys expire."""
    clocked = ClockedLimits()

    async def visit(number: int) -> None:
        scope = ScopeLimits(
            "key",
            number,
            (
                QuotaLimit(number, "requests", 1, 5),
                QuotaLimit(number + 10**6, "concurrency", 1, 5),
            ),
            (BudgetLimit(number, USD, "day"),),
        )
        await clocked.limits.settle(await clocked.reserve(scope), tokens=0, nano_usd=1)

    busy = ScopeLimits(
        "team",
        10**7,
        (QuotaLimit(10**7, "requests", 10**9, 1), QuotaLimit(10**7 + 1, "concurrency", 1, 1)),
        (BudgetLimit(10**7, 100, "total"),),
    )
    await clocked.reserve(busy, nano=60)
    for number in range(2_000):
        await visit(number)
        clocked.sleep(0.5)
        clocked.wall_s += 86_400
        await clocked.limits.extend((1).to_bytes(16, "big"), 0)
    sizes = clocked.limits.sizes()
    assert sizes["windows"] < 20
    assert sizes["leases"] < 200  # those of the last minute, and some
    with pytest.raises(BudgetHeld):
        await clocked.reserve(ScopeLimits("team", 1, (), busy.budgets), nano=41)
    assert await clocked.admitted(ScopeLimits("team", 1, busy.quotas[:1]), attempts=1) == 0
    assert await clocked.admitted(ScopeLimits("team", 1, busy.quotas[1:]), attempts=1) == 0
