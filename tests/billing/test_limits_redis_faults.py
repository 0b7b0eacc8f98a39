"""Limits in Redis while Redis is away, silent, empty or another one: real servers, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator

import pytest

from apps.billing.limits import BudgetState, Demand
from apps.billing.limits.redis.address import parse_address
from apps.billing.limits.redis.limits import RedisLimits
from apps.billing.limits.redis.link import LinkLost, connect
from chatvault.lib import clock
from chatvault.lib.errors import BudgetExhausted, BudgetHeld, LimitsUnavailable, RateLimited
from tests.billing.limits_clocked import USD, budget, epoch, quota
from tests.billing.limits_redis import OWNER, RedisWorld
from tests.servers.valkey import ValkeyServer

NOVEMBER = epoch(2026, 11, 1)


@pytest.fixture
async def world(valkey_server: ValkeyServer) -> AsyncIterator[RedisWorld]:
    valkey_server.flush()
    made = RedisWorld(
        valkey_server.url,
        monotonic_ns=time.monotonic_ns,
        wall_ns=lambda: epoch(2026, 11, 25) * 1_000_000_000,
    )
    made.learn_period(1, "month")
    await made.start(timeout_s=0.025, retry_s=0.05, standby_s=5)
    yield made
    with contextlib.suppress(ProcessLookupError):
        valkey_server.resume()
    await made.stop()


def rid(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def until(is_so, patience_s: float = 5.0) -> float:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < patience_s
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def timed(call) -> tuple[float, object]:
    began = time.monotonic()
    try:
        answer = await call
    except Exception as error:
        answer = error
    return time.monotonic() - began, answer


async def test_an_answer_never_reaches_another_caller(valkey_url):
    """Half of the calls are cancelled somewhere on their way; the others get their own nonce."""
    link = await connect(parse_address(valkey_url), "test")
    chance = random.Random(7)
    wrong = 0

    async def ask(number: int) -> None:
        nonlocal wrong
        task = asyncio.create_task(link.call("ECHO", f"nonce-{number}"))
        if chance.random() < 0.5:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            wrong += (await task) != f"nonce-{number}".encode()

    for start in range(0, 10_000, 200):
        await asyncio.gather(*(ask(start + number) for number in range(200)))
    assert wrong == 0
    link.close()


async def test_a_cancelled_reservation_holds_nothing(world):
    purse = budget(USD)
    for number in range(50):
        task = asyncio.create_task(world.real.reserve(rid(number), (purse,), Demand(0, USD // 50)))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
            await world.real.release(rid(number))
    await world.done()
    assert world.usage_of(purse.budgets[0]).held_nano == 0


async def test_of_five_hundred_on_four_processes_exactly_the_seven_that_fit_pass(world):
    scopes = (budget(7 * 60 + 59),)
    await world.real.stop()
    await world.start(timeout_s=5)  # so many at once are many milliseconds of work
    others = [await world.another(f"node/other{number}") for number in range(3)]
    processes = [world.real, *others]
    results = await asyncio.gather(
        *(processes[n % 4].reserve(rid(n), scopes, Demand(1, 60)) for n in range(500)),
        return_exceptions=True,
    )
    assert sum(not isinstance(result, Exception) for result in results) == 7
    assert sum(isinstance(result, BudgetHeld) for result in results) == 493
    for number, result in enumerate(results):
        if not isinstance(result, Exception):
            await processes[number % 4].settle(rid(number), tokens=1, nano_usd=60)
    await asyncio.gather(*(world.done(process) for process in processes))
    usage = world.usage_of(scopes[0].budgets[0])
    assert (usage.spent_nano, usage.held_nano) == (420, 0)
    for other in others:
        await other.stop()


async def test_an_emptied_server_is_not_believed_until_it_is_built_again(world):
    """What is in flight is announced, what is settled comes from the ledger; nothing is free."""
    purse = budget(100)
    await world.reserve(rid(1), (purse,), Demand(0, 60))
    await world.reserve(rid(2), (purse,), Demand(0, 30))
    await world.settle(rid(2), tokens=0, nano_usd=30)
    world.client.flushall()
    with pytest.raises(LimitsUnavailable):
        await world.real.reserve(rid(3), (purse,), Demand(0, 20))
    assert not world.real.is_up
    world.build(members=["node:node"])
    await until(lambda: world.real.is_up)
    with pytest.raises(LimitsUnavailable):  # the node has not said yet what it holds
        await world.real.reserve(rid(3), (purse,), Demand(0, 1))
    assert world.books.join("node:node") == 0
    with pytest.raises(BudgetHeld):
        await world.real.reserve(rid(3), (purse,), Demand(0, 20))
    await world.real.reserve(rid(4), (purse,), Demand(0, 10))
    usage = world.usage_of(purse.budgets[0])
    assert (usage.spent_nano, usage.held_nano, usage.left_nano) == (30, 70, 0)
    await world.settle(rid(1), tokens=0, nano_usd=5)
    assert world.usage_of(purse.budgets[0]).spent_nano == 35


async def test_a_server_that_was_started_again_is_not_believed(world, valkey_server):
    """Whatever it remembers may be old: another run of it needs another epoch."""
    purse = budget(100)
    await world.reserve(rid(1), (purse,), Demand(0, 60))
    valkey_server.kill()
    await until(lambda: not world.real.is_up)
    valkey_server.start()
    world.client.hset("test:{limits}:epoch", mapping={"n": 1, "run": "an older run", "w": 0})
    await asyncio.sleep(0.3)
    assert not world.real.is_up
    world.build(number=2)
    await until(lambda: world.real.is_up)
    with pytest.raises(BudgetHeld):
        await world.real.reserve(rid(2), (purse,), Demand(0, 41))
    assert world.usage_of(purse.budgets[0]).held_nano == 60


async def test_a_silent_server_costs_one_wait_and_then_none(world, valkey_server):
    """F19: 25 ms until it is given up, nothing after; with quotas only, requests go on."""
    scope = quota("requests", 1000)
    await world.real.reserve(rid(0), (scope,), Demand(0, 0))
    valkey_server.pause()
    first_s, first = await timed(world.real.reserve(rid(1), (scope,), Demand(0, 0)))
    assert not isinstance(first, Exception)
    assert first_s < 0.2  # 25 ms, and what a busy machine adds
    later = [await timed(world.real.reserve(rid(n), (scope,), Demand(0, 0))) for n in range(2, 60)]
    assert not any(isinstance(answer, Exception) for _, answer in later)
    assert sorted(seconds for seconds, _ in later)[29] < 0.005
    valkey_server.resume()
    await until(lambda: world.real.is_up)


async def test_rates_go_on_by_a_share_while_redis_is_away(world, valkey_server):
    others = [await world.another(f"node/other{number}") for number in range(3)]
    scope, purse = quota("requests", 40), budget(1000 * USD)
    for number, process in enumerate([world.real, *others]):
        await process.reserve(rid(number), (scope, purse), Demand(0, USD))
    await asyncio.sleep(1.2)  # the number of processes is told with the grants
    valkey_server.kill()
    await until(lambda: not world.real.is_up)
    passed = 0
    for number in range(100, 140):
        with contextlib.suppress(RateLimited):
            await world.real.reserve(rid(number), (scope,), Demand(0, 0))
            passed += 1
    assert passed == 10
    for other in others:
        await other.stop()
    valkey_server.start()


async def test_money_goes_on_as_far_as_it_was_granted_and_is_told_afterwards(world, valkey_server):
    """F18: what is spent meanwhile is held in Redis already, so nobody else can spend it."""
    purse = budget(1000 * USD)
    for number in range(10):
        await world.real.reserve(rid(number), (purse,), Demand(0, USD))
        await world.real.settle(rid(number), tokens=0, nano_usd=USD // 2)
    await until(lambda: world.real._standby.grants.get(1, 0) > 0)
    granted = world.real._standby.grants[1]
    valkey_server.pause()
    passed = []
    for number in range(10, 100):
        with contextlib.suppress(LimitsUnavailable):
            await world.real.reserve(rid(number), (purse,), Demand(0, USD))
            passed.append(number)
    assert len(passed) == granted // USD
    assert 4 <= len(passed) < 90
    for number in passed[:-1]:
        await world.real.settle(rid(number), tokens=0, nano_usd=USD)
    valkey_server.resume()
    await until(lambda: world.real.is_up)
    await world.done()
    sums = world.books.sums([(1, NOVEMBER)])[1, NOVEMBER]
    assert sums.spent_nano == 10 * USD // 2 + (len(passed) - 1) * USD
    await world.real.settle(rid(passed[-1]), tokens=0, nano_usd=USD)
    await world.done()
    await until(lambda: world.real._standby.grants.get(1, 0) > 0)
    sums = world.books.sums([(1, NOVEMBER)])[1, NOVEMBER]
    assert sums.spent_nano == 10 * USD // 2 + len(passed) * USD
    assert sums.held_nano == world.real._standby.grants[1]


async def test_a_stall_of_a_moment_refuses_nobody(world, valkey_server):
    """Near its end a budget grants nothing; a server that answers late is waited for, shortly."""
    purse = budget(20 * USD)
    await world.real.reserve(rid(1), (purse,), Demand(0, USD))
    valkey_server.pause()
    asked = asyncio.create_task(timed(world.real.reserve(rid(2), (purse,), Demand(0, USD))))
    await until(lambda: not world.real.is_up)
    valkey_server.resume()
    seconds, answer = await asked
    assert not isinstance(answer, Exception)
    assert seconds < 0.5
    valkey_server.pause()
    seconds, answer = await timed(world.real.reserve(rid(3), (purse,), Demand(0, USD)))
    assert isinstance(answer, LimitsUnavailable)
    assert 0.25 < seconds < 0.6
    seconds, answer = await timed(world.real.reserve(rid(4), (purse,), Demand(0, USD)))
    assert isinstance(answer, LimitsUnavailable)
    assert seconds < 0.01


async def test_near_its_end_a_budget_grants_nothing_and_is_spent_to_the_last_cent(world):
    purse = budget(20 * USD)
    for number in range(5):
        await world.real.reserve(rid(number), (purse,), Demand(0, USD))
        await world.real.settle(rid(number), tokens=0, nano_usd=USD)
    await asyncio.sleep(1.5)
    assert world.real._standby.grants.get(1, 0) == 0
    for number in range(5, 20):
        await world.real.reserve(rid(number), (purse,), Demand(0, USD))
        await world.real.settle(rid(number), tokens=0, nano_usd=USD)
    with pytest.raises(BudgetExhausted):
        await world.real.reserve(rid(99), (purse,), Demand(0, 1))


async def test_ends_that_redis_did_not_hear_are_told_when_it_is_back(world, valkey_server):
    purse, slots = budget(100), quota("concurrency", 2, id=9)
    for number in (1, 2):
        await world.real.reserve(rid(number), (purse, slots), Demand(0, 40))
    valkey_server.pause()
    await world.real.settle(rid(1), tokens=0, nano_usd=7)
    await world.real.release(rid(2))
    await until(lambda: not world.real.is_up)
    valkey_server.resume()
    await until(lambda: world.real.is_up)
    await world.done()
    usage = world.usage_of(purse.budgets[0])
    assert (usage.spent_nano, usage.held_nano) == (7, 0)
    for number in (3, 4):
        await world.real.reserve(rid(number), (slots,), Demand(0, 0))
    with pytest.raises(RateLimited):
        await world.real.reserve(rid(5), (slots,), Demand(0, 0))


async def test_a_full_server_counts_as_away(world, valkey_server):
    """F21: writes that are refused are not silently free."""
    world.client.config_set("maxmemory-policy", "noeviction")
    world.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(LimitsUnavailable):
            await world.real.reserve(rid(1), (budget(100),), Demand(0, 1))
        assert not world.real.is_up
    finally:
        world.client.config_set("maxmemory", 0)
    await until(lambda: world.real.is_up)
    await world.real.reserve(rid(2), (budget(100),), Demand(0, 1))


async def test_what_the_control_plane_cannot_tell_is_refused_and_not_free(world):
    async def away(_):
        raise ConnectionError

    world.real._load = away
    with pytest.raises(LimitsUnavailable):
        await world.real.reserve(rid(1), (budget(100, id=77),), Demand(0, 1))
    await world.real.reserve(rid(2), (quota("requests", 5),), Demand(0, 0))


async def test_a_budget_that_redis_does_not_know_is_learned_from_the_ledger(world):
    world.restore([BudgetState(1, NOVEMBER, 70)])
    with pytest.raises(BudgetExhausted):
        await world.real.reserve(rid(1), (budget(100),), Demand(0, 31))
    await world.real.reserve(rid(2), (budget(100),), Demand(0, 30))


async def test_amounts_beyond_what_a_double_holds_are_exact(world):
    """2^53 nano-USD are 9 million USD; the next nano-USD is refused all the same."""
    most = 2**60 + 1
    purse = budget(most)
    await world.real.reserve(rid(1), (purse,), Demand(0, 2**60))
    with pytest.raises(BudgetHeld):
        await world.real.reserve(rid(2), (purse,), Demand(0, 2))
    await world.real.reserve(rid(3), (purse,), Demand(0, 1))
    await world.settle(rid(1), tokens=0, nano_usd=2**60)
    assert world.usage_of(purse.budgets[0]).spent_nano == 2**60
    with pytest.raises(BudgetExhausted):
        await world.real.reserve(rid(4), (purse,), Demand(0, 2))


async def test_news_reach_who_follows(world):
    heard = asyncio.Event()
    other = await world.another("node/listener", on_news=heard.set)
    world.books.publish()
    await asyncio.wait_for(heard.wait(), 1)
    await other.stop()


async def test_a_server_that_is_not_there_is_said_so():
    with pytest.raises(LinkLost):
        await connect(parse_address("redis://127.0.0.1:1"), "test")
    with pytest.raises(ValueError, match="redis://") as refused:
        parse_address("http://user:secret@host")
    assert "secret" not in str(refused.value)


async def test_processes_start_and_serve_what_they_may_without_redis():
    async def load(_):
        return []

    limits = RedisLimits(
        address=parse_address("redis://127.0.0.1:1"), prefix="test", owner="n/o", load=load
    )
    await limits.start(patience_s=0.05)
    await limits.reserve(rid(1), (quota("requests", 5),), Demand(0, 0))
    with pytest.raises(LimitsUnavailable):
        await limits.reserve(rid(2), (budget(100),), Demand(0, 1))
    await limits.stop()


async def test_a_clock_that_is_wrong_follows_that_of_redis(valkey_url, monkeypatch):
    """F29: a budget's window turns once, for all gateways at the same moment."""
    monkeypatch.setattr(clock._process, "offset_ns", 0)
    monkeypatch.setattr(clock, "_read_ns", lambda: time.time_ns() + 600 * 1_000_000_000)
    world = RedisWorld(valkey_url, monotonic_ns=time.monotonic_ns, wall_ns=clock.wall_ns)
    limits = RedisLimits(address=world.address, prefix="test", owner=OWNER, load=world._load)
    await limits.start()
    assert abs(clock.wall_ns() - time.time_ns()) < 1_000_000_000
    assert abs(clock.offset_ns() + 600 * 1_000_000_000) < 1_000_000_000
    await limits.stop()
