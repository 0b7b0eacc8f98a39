"""Input and output tokens, quotas that only observe, ceilings for a while: on every back end."""

from __future__ import annotations

import pytest

from apps.billing.limits import Demand, Override, QuotaLimit, ScopeLimits
from chatvault.lib.errors import RateLimited
from tests.billing.limits_clocked import quota


def scope(*quotas: QuotaLimit, kind: str = "key") -> ScopeLimits:
    return ScopeLimits(kind, 1, quotas=quotas)


async def ask(clocked, *scopes: ScopeLimits, input: int = 0, output: int = 0):
    request_id = next(clocked.ids)
    demand = Demand(tokens=input + output, nano_usd=0, output_tokens=output)
    return request_id, await clocked.limits.reserve(request_id, scopes, demand)


async def test_input_and_output_are_counted_apart(clocked):
    both = scope(QuotaLimit(1, "input_tokens", 60, 100), QuotaLimit(2, "output_tokens", 60, 50))
    await ask(clocked, both, input=60, output=30)
    with pytest.raises(RateLimited, match="50 output tokens per 60 s") as refused:
        await ask(clocked, both, input=1, output=21)
    assert refused.value.quota_id == 2
    with pytest.raises(RateLimited, match="100 input tokens per 60 s") as refused:
        await ask(clocked, both, input=41, output=1)
    assert refused.value.quota_id == 1
    await ask(clocked, both, input=40, output=20)


async def test_what_was_reserved_too_much_comes_back_to_each(clocked):
    both = scope(QuotaLimit(1, "input_tokens", 60, 100), QuotaLimit(2, "output_tokens", 60, 100))
    request_id, _ = await ask(clocked, both, input=80, output=90)
    await clocked.limits.settle(request_id, tokens=35, nano_usd=0, output_tokens=5)
    await ask(clocked, both, input=70, output=95)
    with pytest.raises(RateLimited):
        await ask(clocked, both, input=1)
    with pytest.raises(RateLimited):
        await ask(clocked, both, output=1)


async def test_a_release_gives_both_back(clocked):
    both = scope(QuotaLimit(1, "input_tokens", 60, 10), QuotaLimit(2, "output_tokens", 60, 10))
    request_id, _ = await ask(clocked, both, input=10, output=10)
    await clocked.limits.release(request_id)
    await ask(clocked, both, input=10, output=10)


async def test_all_four_units_of_one_scope_are_kept_apart(clocked):
    every = scope(
        QuotaLimit(1, "requests", 60, 9),
        QuotaLimit(2, "tokens", 60, 100),
        QuotaLimit(3, "input_tokens", 60, 100),
        QuotaLimit(4, "output_tokens", 60, 100),
    )
    _, headroom = await ask(clocked, every, input=30, output=40)
    assert (headroom.remaining_requests, headroom.remaining_tokens) == (8, 30)


async def test_a_request_that_alone_passes_an_output_ceiling_is_told_so(clocked):
    with pytest.raises(RateLimited, match="alone can use 51") as refused:
        await ask(clocked, scope(QuotaLimit(2, "output_tokens", 60, 50)), input=500, output=51)
    assert refused.value.headers["x-should-retry"] == "false"


async def test_a_demand_with_more_output_than_tokens_is_a_fault_of_the_caller(clocked):
    with pytest.raises(ValueError, match="not negative"):
        await clocked.limits.reserve(b"n" * 16, (), Demand(1, 0, output_tokens=2))


@pytest.mark.parametrize("unit", ["requests", "tokens", "concurrency"])
async def test_a_quota_that_observes_refuses_nothing_and_tells_what_it_would_have(clocked, unit):
    watching = scope(QuotaLimit(7, unit, 60, 2, observes=True))
    answers = [(await ask(clocked, watching, input=1))[1] for _ in range(5)]
    assert [answer.observed for answer in answers] == [(), (), (7,), (7,), (7,)]
    assert {answer.limit_requests for answer in answers} == {None}
    assert {answer.limit_tokens for answer in answers} == {None}


async def test_what_an_observing_quota_would_have_refused_is_not_booked_in_it(clocked):
    """So that it counts what it would refuse if it were switched on."""
    watching = scope(QuotaLimit(7, "tokens", 60, 100, observes=True))
    first, _ = await ask(clocked, watching, input=90)
    late, answer = await ask(clocked, watching, input=20)
    assert answer.observed == (7,)
    await clocked.limits.settle(late, tokens=20, nano_usd=0)
    _, answer = await ask(clocked, watching, input=10)
    assert answer.observed == ()
    await clocked.limits.settle(first, tokens=0, nano_usd=0)
    _, answer = await ask(clocked, watching, input=90)
    assert answer.observed == ()


async def test_beside_one_that_observes_the_others_refuse_as_ever(clocked):
    mixed = (
        scope(QuotaLimit(7, "requests", 60, 1, observes=True)),
        scope(QuotaLimit(8, "requests", 60, 3), kind="team"),
    )
    answers = [(await ask(clocked, *mixed))[1] for _ in range(3)]
    assert [answer.observed for answer in answers] == [(), (7,), (7,)]
    assert [answer.remaining_requests for answer in answers] == [2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        await ask(clocked, *mixed)
    assert refused.value.quota_id == 8


async def test_an_override_raises_the_ceiling_for_its_time_and_ends_by_itself(clocked):
    now = clocked.wall_s
    raised = quota_with(Override(5, now + 100, now + 200), ceiling=2)
    assert await clocked.admitted(raised, attempts=9) == 2
    clocked.sleep(100)
    assert await clocked.admitted(raised, attempts=9) == 5
    clocked.sleep(99)
    assert await clocked.admitted(raised, attempts=9) == 5
    clocked.sleep(1)
    assert await clocked.admitted(raised, attempts=9) == 0
    clocked.sleep(61)
    assert await clocked.admitted(raised, attempts=9) == 2


async def test_an_override_can_lower_it_and_headers_and_messages_tell_what_holds(clocked):
    now = clocked.wall_s
    lowered = quota_with(Override(1, now - 5, now + 30), ceiling=9)
    _, headroom = await ask(clocked, lowered)
    assert (headroom.limit_requests, headroom.remaining_requests) == (1, 0)
    with pytest.raises(RateLimited, match="may use 1 requests per 60 s"):
        await ask(clocked, lowered)
    clocked.sleep(30)
    _, headroom = await ask(clocked, lowered)
    assert (headroom.limit_requests, headroom.remaining_requests) == (9, 7)


async def test_concurrency_can_be_raised_for_a_while_too(clocked):
    now = clocked.wall_s
    slots = scope(QuotaLimit(5, "concurrency", 1, 1, overrides=(Override(3, now, now + 60),)))
    assert await clocked.admitted(slots, attempts=5) == 3
    clocked.sleep(60)
    assert await clocked.admitted(slots, attempts=5) == 0


async def test_a_wall_clock_that_is_set_is_followed_both_ways(clocked):
    now = clocked.wall_s
    raised = quota_with(Override(4, now, now + 3600), ceiling=2)
    assert await clocked.admitted(raised, attempts=9) == 4
    clocked.wall_s += 7200
    assert await clocked.admitted(raised, attempts=9) == 0
    clocked.wall_s -= 7200
    clocked.mono_ns += 61 * 10**9
    assert await clocked.admitted(raised, attempts=9) == 4


def test_of_overrides_at_one_time_the_one_that_began_last_counts():
    both = QuotaLimit(1, "requests", 60, 2, False, (Override(5, 10, 40), Override(7, 20, 30)))
    told = [both.ceiling_at(at) for at in (0, 10, 20, 29.9, 30, 40)]
    assert told == [(2, 10), (5, 20), (7, 30), (7, 30), (5, 40), (2, float("inf"))]


async def test_headroom_names_whose_the_tightest_limits_are(clocked):
    scopes = (
        quota("requests", 10, id=1, kind="key"),
        quota("requests", 3, id=2, kind="alias"),
        quota("tokens", 100, id=3, kind="team"),
        quota("output_tokens", 200, id=4, kind="user"),
    )
    _, headroom = await ask(clocked, *scopes, input=1)
    assert (headroom.scope_requests, headroom.scope_tokens) == ("alias", "team")


def quota_with(override: Override, ceiling: int) -> ScopeLimits:
    return scope(QuotaLimit(1, "requests", 60, ceiling, overrides=(override,)))
