"""Budgets of every period, on each back end."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.billing.limits import BudgetLimit, Demand, Raise, ScopeLimits, Stage
from apps.billing.limits.periods import earlier_blocks, period_bounds, period_text, previous
from chatvault.lib.errors import BudgetExhausted, BudgetHeld
from tests.billing.limits_clocked import budget, epoch

PERIODS = (
    "day", "day@Europe/Berlin", "week@America/New_York", "month@Asia/Kathmandu",
    "quarter@Africa/Cairo", "custom:14:2026-01-05@Europe/Berlin", "custom:400:2026-01-01",
    "day@America/Sao_Paulo", "day@Pacific/Apia", "rolling:1", "rolling:30", "rolling:400",
)  # fmt: skip


@given(period=st.sampled_from(PERIODS), at_s=st.integers(epoch(2005, 1, 1), epoch(2035, 1, 1)))
@settings(max_examples=150, deadline=None)
def test_windows_follow_each_other_without_gap_or_overlap(period, at_s):
    start_s, end_s = period_bounds(period, at_s)
    assert start_s <= at_s < end_s
    assert period_bounds(period, end_s)[0] == end_s
    assert period_bounds(period, start_s - 1)[1] == start_s


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 11, 23), 24)]
)
def test_a_day_is_as_long_as_its_clocks_say(day, hours):
    start_s, end_s = period_bounds("day@Europe/Berlin", epoch(*day, 12))
    assert end_s - start_s == hours * 3600


@pytest.mark.parametrize("days", [1, 7, 30, 31, 32, 90, 400])
def test_blocks_cover_any_stretch_of_the_days_and_are_few(days):
    period = f"rolling:{days}"
    start_s, end_s = period_bounds(period, epoch(2026, 11, 23, 5, 3))
    earlier = earlier_blocks(period, start_s)
    assert len(earlier) <= 31
    assert start_s - earlier[0] >= days * 86_400
    assert start_s - earlier[0] < days * 86_400 + (end_s - start_s)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("custom", {"days": 0, "starts_on": date(2026, 1, 1)}),
        ("custom", {"days": 401, "starts_on": date(2026, 1, 1)}),
        ("custom", {"days": 7}),
        ("rolling", {"days": 0}),
        ("month", {"zone": "Europe/Atlantis"}),
        ("fortnight", {}),
    ],
)
def test_periods_that_make_no_sense_are_refused(kind, more):
    with pytest.raises(ValueError):
        period_text(kind, **more)


def test_what_comes_before():
    start = epoch(2026, 11, 1)
    assert previous("month", start) == (epoch(2026, 10, 1), start)
    assert previous("total", 0) is None
    assert previous("rolling:7", start) is None


async def spend(clocked, scope, nano):
    await clocked.limits.settle(await clocked.reserve(scope, nano=nano), tokens=0, nano_usd=nano)


@pytest.mark.parametrize(
    ("period", "last", "first"),
    [
        ("day@Europe/Berlin", (2026, 10, 25, 22, 59, 59), (2026, 10, 25, 23)),
        ("week", (2026, 11, 29, 23, 59, 59), (2026, 11, 30)),
        ("quarter@America/New_York", (2027, 1, 1, 4, 59, 59), (2027, 1, 1, 5)),
        ("custom:14:2026-11-09", (2026, 11, 22, 23, 59, 59), (2026, 11, 23)),
    ],
)
async def test_a_window_ends_by_its_own_calendar(clocked, period, last, first):
    purse = budget(100, period)
    clocked.wall_s = epoch(*last)
    await clocked.reserve(purse, nano=100)
    with pytest.raises(BudgetHeld):
        await clocked.reserve(purse, nano=1)
    clocked.wall_s = epoch(*first)
    headroom = await clocked.limits.reserve(b"n" * 16, (purse,), Demand(0, 100))
    assert headroom.budgets == ((1, epoch(*first)),)


async def test_a_rolling_budget_forgets_a_block_at_a_time(clocked):
    purse = budget(100, "rolling:7")
    clocked.wall_s = epoch(2026, 11, 10)
    await spend(clocked, purse, 60)
    clocked.wall_s = epoch(2026, 11, 13)
    await spend(clocked, purse, 40)
    for at in ((2026, 11, 13), (2026, 11, 16), (2026, 11, 17, 5, 59, 59)):
        clocked.wall_s = epoch(*at)
        with pytest.raises(BudgetExhausted):
            await clocked.reserve(purse, nano=1)
    clocked.wall_s = epoch(2026, 11, 17, 6)
    await clocked.reserve(purse, nano=60)
    with pytest.raises(BudgetHeld):
        await clocked.reserve(purse, nano=1)


async def test_what_an_older_block_holds_counts_until_it_is_settled_there(clocked):
    purse = budget(100, "rolling:7")
    clocked.wall_s = epoch(2026, 11, 10)
    slow = await clocked.reserve(purse, nano=80)
    clocked.wall_s = epoch(2026, 11, 12)
    with pytest.raises(BudgetHeld):
        await clocked.reserve(purse, nano=30)
    assert not await clocked.limits.extend(slow, 21)
    assert await clocked.limits.extend(slow, 5)
    await clocked.limits.settle(slow, tokens=0, nano_usd=10)
    await clocked.reserve(purse, nano=90)
    with pytest.raises(BudgetHeld):
        await clocked.reserve(purse, nano=1)


async def test_500_at_once_on_a_rolling_budget_that_fits_7_more(clocked):
    purse = budget(1_000, "rolling:30")
    clocked.wall_s = epoch(2026, 11, 3)
    await spend(clocked, purse, 300)
    clocked.wall_s = epoch(2026, 11, 23)
    asked = [clocked.reserve(purse, nano=100) for _ in range(500)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    refused = [one for one in found if isinstance(one, Exception)]
    assert len(found) - len(refused) == 7
    assert {type(one) for one in refused} == {BudgetHeld}


async def test_a_raise_begins_and_ends_by_the_clock(clocked):
    more = Raise(50, epoch(2026, 11, 24), epoch(2026, 11, 26))
    purse = ScopeLimits("client", 1, budgets=(BudgetLimit(1, 100, "month", raises=(more,)),))
    clocked.wall_s = epoch(2026, 11, 23, 23, 59, 59)
    await spend(clocked, purse, 100)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=1)
    clocked.wall_s = epoch(2026, 11, 24)
    await spend(clocked, purse, 50)
    with pytest.raises(BudgetExhausted) as refused:
        await clocked.reserve(purse, nano=1)
    assert "$0.00000015" in refused.value.message
    clocked.wall_s = epoch(2026, 11, 26)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=0)


async def test_what_rolled_over_is_in_its_own_window_alone(clocked):
    rolled = ((epoch(2026, 11, 23), 40),)
    purse = ScopeLimits("client", 1, budgets=(BudgetLimit(1, 100, "day", rolled=rolled),))
    await spend(clocked, purse, 140)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=1)
    clocked.wall_s = epoch(2026, 11, 24)
    await clocked.reserve(purse, nano=100)
    with pytest.raises(BudgetHeld):
        await clocked.reserve(purse, nano=1)


async def test_a_soft_budget_tells_and_never_refuses(clocked):
    soft = BudgetLimit(1, 100, "month", refuses_at=None, stages=(Stage(80, "warn", -1),))
    purse = ScopeLimits("client", 1, budgets=(soft,))
    used = []
    for number in range(4):
        request = (b"%d" % number) * 16
        headroom = await clocked.limits.reserve(request, (purse,), Demand(0, 60))
        used.append(headroom.used)
    assert used == [((1, spent, 100),) for spent in (0, 60, 120, 180)]


async def test_a_hard_line_beyond_the_amount(clocked):
    purse = ScopeLimits("client", 1, budgets=(BudgetLimit(1, 100, "month", refuses_at=120),))
    await spend(clocked, purse, 120)
    with pytest.raises(BudgetExhausted):
        await clocked.reserve(purse, nano=1)


def test_the_day_of_a_zone_is_not_that_of_utc():
    start_s, _ = period_bounds("day@Asia/Tokyo", epoch(2026, 11, 23, 16))
    assert datetime.fromtimestamp(start_s, UTC).hour == 15
