from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.limits import (
    Demand,
    Headroom,
    ScopeLimits,
)
from chatvault.lib.errors import RateLimited
from tests.billing.limits_clocked import NS, ClockedLimits, quota


async def test_requests_pass_up_to_the_ceiling_and_again_when_the_window_has_moved_on(clocked):
    scope = quota("requests", 3, window_s=60)
    assert await clocked.admitted(scope, attempts=10) == 3
    clocked.sleep(60)
    assert await clocked.admitted(scope, attempts=10) == 0  # up to 1/60 longer than the window
    clocked.sleep(1)
    assert await clocked.admitted(scope, attempts=10) == 3


async def test_a_length_that_60_does_not_divide_is_never_cut_short(clocked):
    """The booking is the last nanosecond of a sub-slot of 7 s / 60, rounded down."""
    scope = quota("requests", 1, window_s=7)
    clocked.mono_ns = 60_000 * (7 * NS // 60) - 1
    assert await clocked.admitted(scope, attempts=1) == 1
    clocked.mono_ns += 7 * NS - 1
    assert await clocked.admitted(scope, attempts=1) == 0


async def test_tokens_are_corrected_where_they_were_booked(clocked):
    scope = quota("tokens", 100)
    request_id = await clocked.reserve(scope, tokens=90)
    clocked.sleep(30)
    await clocked.limits.settle(request_id, tokens=25, nano_usd=0)
    headroom = await clocked.limits.reserve(b"b" * 16, (scope,), Demand(75, 0))
    assert headroom.remaining_tokens == 0
    clocked.sleep(31)  # the first 25 have left, the later 75 have not
    headroom = await clocked.limits.reserve(b"c" * 16, (scope,), Demand(25, 0))
    assert headroom.remaining_tokens == 0


async def test_tokens_beyond_the_demand_are_counted_in_full(clocked):
    scope = quota("tokens", 100)
    request_id = await clocked.reserve(scope, tokens=10)
    await clocked.limits.settle(request_id, tokens=500, nano_usd=0)
    assert await clocked.admitted(scope, attempts=1, tokens=1) == 0
    clocked.sleep(61)
    assert await clocked.admitted(scope, attempts=1, tokens=100) == 1


async def test_a_settlement_after_the_window_moved_on_changes_no_later_window(clocked):
    scope = quota("tokens", 100)
    request_id = await clocked.reserve(scope, tokens=90)
    clocked.sleep(120)
    await clocked.reserve(scope, tokens=60)
    await clocked.limits.settle(request_id, tokens=5, nano_usd=0)
    headroom = await clocked.limits.reserve(b"b" * 16, (scope,), Demand(0, 0))
    assert headroom.remaining_tokens == 40


async def test_a_settled_request_stays_counted_and_a_released_one_does_not(clocked):
    scope = quota("requests", 2)
    settled, released = await clocked.reserve(scope), await clocked.reserve(scope)
    await clocked.limits.settle(settled, tokens=0, nano_usd=0)
    assert await clocked.admitted(scope, attempts=5) == 0
    await clocked.limits.release(released)
    assert await clocked.admitted(scope, attempts=5) == 1


async def test_concurrency_is_freed_by_the_end_of_a_request(clocked):
    scope = quota("concurrency", 2)
    first, second = await clocked.reserve(scope), await clocked.reserve(scope)
    assert await clocked.admitted(scope, attempts=3) == 0
    await clocked.limits.settle(first, tokens=0, nano_usd=0)
    await clocked.limits.release(second)
    assert await clocked.admitted(scope, attempts=5) == 2


async def test_every_scope_counts_its_own_concurrency(clocked):
    key, team = quota("concurrency", 1, id=1), quota("concurrency", 2, id=2, kind="team")
    other = quota("concurrency", 5, id=3)
    assert await clocked.admitted(key, team, attempts=3) == 1
    assert await clocked.admitted(other, team, attempts=3) == 1


async def test_a_lease_lasts_until_its_last_second_and_not_longer(clocked):
    scope = quota("concurrency", 1)
    request_id = await clocked.reserve(scope)
    clocked.sleep(899)
    assert await clocked.admitted(scope, attempts=1) == 0
    clocked.sleep(1)
    assert not await clocked.limits.renew(request_id)
    lapsed = await clocked.reserve(scope)
    clocked.sleep(900)
    assert await clocked.admitted(scope, attempts=2) == 1
    assert not await clocked.limits.renew(lapsed)


async def test_a_lease_that_nobody_renews_lapses_and_a_renewed_one_does_not(clocked):
    scope = quota("concurrency", 3)
    renewed, extended, lost = [await clocked.reserve(scope) for _ in range(3)]
    clocked.sleep(600)
    assert await clocked.limits.renew(renewed)
    assert await clocked.limits.extend(extended, 0)
    clocked.sleep(600)
    assert await clocked.admitted(scope, attempts=3) == 1
    assert not await clocked.limits.renew(lost)
    await clocked.limits.settle(lost, tokens=0, nano_usd=0)
    assert await clocked.admitted(scope, attempts=3) == 0  # the late one gave nothing back twice


async def test_steps_of_the_wall_clock_do_not_move_rate_windows(clocked):
    scope = quota("requests", 2)
    assert await clocked.admitted(scope, attempts=3) == 2
    clocked.wall_s += 86_400
    assert await clocked.admitted(scope, attempts=3) == 0
    clocked.wall_s -= 2 * 86_400
    clocked.mono_ns += 61 * NS
    assert await clocked.admitted(scope, attempts=3) == 2


async def test_headroom_is_of_the_tightest_scope_of_each_unit(clocked):
    scopes = (
        quota("requests", 10, id=1),
        quota("requests", 3, id=2, window_s=6, kind="client"),
        quota("tokens", 1_000, id=3),
        quota("tokens", 2_000, id=4, kind="team"),
    )
    headroom = await clocked.limits.reserve(b"h" * 16, scopes, Demand(600, 0))
    assert (headroom.limit_requests, headroom.remaining_requests) == (3, 2)
    assert headroom.reset_requests_s == pytest.approx(6.1, abs=0.11)
    assert (headroom.limit_tokens, headroom.remaining_tokens) == (1_000, 400)
    assert headroom.reset_tokens_s == pytest.approx(61, abs=1.1)


async def test_without_quotas_there_is_no_headroom_to_tell(clocked):
    headroom = await clocked.limits.reserve(b"h" * 16, (ScopeLimits("key", 1),), Demand(9, 9))
    assert headroom == Headroom()


@pytest.mark.parametrize("window_s", [10, 600])
async def test_a_window_whose_length_changes_keeps_what_was_booked(clocked, window_s):
    request_id = await clocked.reserve(quota("tokens", 100, window_s=60), tokens=90)
    clocked.sleep(5)
    changed = quota("tokens", 100, window_s=window_s)
    assert await clocked.admitted(changed, attempts=1, tokens=11) == 0
    await clocked.limits.settle(request_id, tokens=80, nano_usd=0)
    assert await clocked.admitted(changed, attempts=2, tokens=20) == 1
    clocked.sleep(window_s * 62 / 60)
    assert await clocked.admitted(changed, attempts=2, tokens=100) == 1


async def test_a_quota_that_counts_something_else_starts_anew(clocked):
    await clocked.reserve(quota("tokens", 100), tokens=100)
    assert await clocked.admitted(quota("requests", 2), attempts=5) == 2


async def test_a_changed_ceiling_counts_at_once(clocked):
    assert await clocked.admitted(quota("requests", 5), attempts=9) == 5
    assert await clocked.admitted(quota("requests", 3), attempts=9) == 0
    assert await clocked.admitted(quota("requests", 8), attempts=9) == 3


STEPS = st.lists(
    st.tuples(st.integers(0, 2_500_000_000), st.integers(1, 7), st.integers(0, 7)), max_size=60
)


@given(STEPS, st.sampled_from([1, 7, 60]), st.integers(1, 12))
def test_no_window_of_that_length_ever_holds_more_than_the_ceiling(steps, window_s, ceiling):
    """At any schedule, wherever the interval starts; and a booking is gone 1/60 after it ended."""

    async def play() -> None:
        clocked = ClockedLimits()
        scope = quota("tokens", ceiling, window_s=window_s)
        admitted: list[tuple[int, int]] = []
        width_ns = -(-window_s * NS // 60)
        for pause_ns, tokens, used in steps:
            clocked.mono_ns += pause_ns
            now = clocked.mono_ns
            try:
                request_id = await clocked.reserve(scope, tokens=tokens)
            except RateLimited:
                late = sum(n for at, n in admitted if at > now - window_s * NS - 2 * width_ns)
                assert late + tokens > ceiling
                continue
            spent = min(tokens, used)
            await clocked.limits.settle(request_id, tokens=spent, nano_usd=0)
            admitted.append((now, spent))
            inside = sum(n for at, n in admitted[:-1] if at > now - window_s * NS)
            assert inside + tokens <= ceiling

    asyncio.run(play())
