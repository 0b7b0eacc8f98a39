"""What limits in Redis send when, and how much of a budget they ask for in advance."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator

import pytest

from apps.billing.limits import Demand
from apps.billing.limits.redis.link import LinkLost
from chatvault.lib.errors import LimitsUnavailable
from tests.billing.limits_clocked import USD, budget, epoch, quota
from tests.billing.limits_redis import RedisWorld
from tests.servers.valkey import ValkeyServer


@pytest.fixture
async def world(valkey_server: ValkeyServer) -> AsyncIterator[RedisWorld]:
    valkey_server.flush()
    made = RedisWorld(
        valkey_server.url,
        monotonic_ns=time.monotonic_ns,
        wall_ns=lambda: epoch(2026, 11, 25) * 1_000_000_000,
    )
    made.learn_period(1, "month")
    await made.start()
    yield made
    await made.stop()


def rid(number: int) -> bytes:
    return number.to_bytes(16, "big")


async def sent(world: RedisWorld) -> int:
    """Batches that have gone out when the event loop has turned."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return world.real.stats.batches


async def test_a_settlement_shares_the_round_trip_of_the_next_request(world):
    purse = budget(1000 * USD)
    await world.real.reserve(rid(1), (purse,), Demand(0, USD))
    before = await sent(world)
    await world.real.settle(rid(1), tokens=0, nano_usd=USD)
    assert await sent(world) == before
    await world.real.reserve(rid(2), (purse,), Demand(0, USD))
    assert await sent(world) == before + 1


async def test_a_settlement_without_a_next_request_is_told_soon(world):
    await world.real.reserve(rid(1), (budget(1000 * USD),), Demand(0, USD))
    before = await sent(world)
    await world.real.settle(rid(1), tokens=0, nano_usd=USD)
    await asyncio.sleep(0.02)
    assert await sent(world) > before


@pytest.mark.parametrize(
    "scope", [budget(3 * USD), quota("tokens", 30), quota("requests", 1), quota("concurrency", 1)]
)
async def test_where_little_is_left_a_settlement_does_not_wait(world, scope):
    await world.real.reserve(rid(1), (scope,), Demand(20, 2 * USD))
    before = await sent(world)
    await world.real.settle(rid(1), tokens=0, nano_usd=0)
    assert await sent(world) == before + 1


async def test_a_stop_tells_what_waits(world):
    other = await world.another("node/other")
    await other.reserve(rid(1), (budget(1000 * USD),), Demand(0, USD))
    await other.settle(rid(1), tokens=0, nano_usd=USD // 4)
    await other.stop()
    sums = world.books.sums([(1, epoch(2026, 11, 1))])[1, epoch(2026, 11, 1)]
    assert (sums.spent_nano, sums.held_nano) == (USD // 4, 0)


async def granted(world: RedisWorld, nano: int, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while world.real._standby.grants.get(1, 0) < nano:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_grant_covers_what_is_in_flight_at_once(world, valkey_server):
    """Each of them holds the most it can cost, and so will those that come in their place."""
    await world.real.stop()
    await world.start(standby_s=5, timeout_s=0.2, retry_s=0.05)
    for number in range(30):
        await world.real.reserve(rid(number), (budget(100_000 * USD),), Demand(0, USD))
    await granted(world, 34 * USD, 5.0)
    valkey_server.pause()
    with contextlib.suppress(LinkLost):
        await world.real._tie.ask(5, "")
    valkey_server.resume()
    await granted(world, 34 * USD, 0.8)  # again at once, not when it would be due
    for number in range(30):
        await world.real.settle(rid(number), tokens=0, nano_usd=USD // 100)


async def comes_up(world: RedisWorld, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not (is_up := world.real.is_up) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return is_up


async def test_under_load_a_process_joins_again(world, valkey_server):
    """There is never a moment in which nothing is left to tell."""
    await world.real.stop()
    await world.start(standby_s=5, timeout_s=0.1, retry_s=0.05)
    purse, numbers = budget(1_000_000 * USD), itertools.count(1)

    async def ask_again_and_again() -> None:
        while True:
            one = rid(next(numbers))
            with contextlib.suppress(LimitsUnavailable):
                await world.real.reserve(one, (purse,), Demand(0, USD))
                await world.real.settle(one, tokens=0, nano_usd=USD // 10_000)
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask_again_and_again()) for _ in range(8)]
        await granted(world, 4 * USD, 5.0)
        valkey_server.pause()
        await asyncio.sleep(0.4)
        assert not world.real.is_up
        valkey_server.resume()
        was_up = await comes_up(world, 3.0)
        for task in tasks:
            task.cancel()
    assert was_up
