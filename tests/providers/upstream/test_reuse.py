"""When a connection is kept, when it is not, and that no answer ever crosses over."""

import asyncio
import random

import pytest

from apps.providers.upstream import Caps, Deadlines, PoolStats, UpstreamPool, UpstreamRequest
from chatvault.lib.errors import UpstreamBroken, UpstreamConnectFailed, UpstreamTimedOut
from chatvault.lib.http_guard import AddressGuard
from tests.providers.upstream.server import LOCAL, PATIENT, Exchange, Server, until

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def fetch(pool: UpstreamPool, request: UpstreamRequest) -> bytes:
    return await (await pool.send(request, PATIENT)).read()


async def test_a_read_answer_leaves_its_connection_for_the_next(
    server: Server, pool: UpstreamPool
) -> None:
    for _ in range(5):
        assert await fetch(pool, server.request()) == b"ok"
        assert pool.stats() == PoolStats(open=1, idle=1)
    assert server.connections == 1


async def test_an_arrived_answer_may_be_read_after_its_connection_served_another(
    server: Server, pool: UpstreamPool
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(exchange.path.encode())

    server.script = script
    first = await pool.send(server.request("/first"), PATIENT)
    second = await pool.send(server.request("/second"), PATIENT)
    first.close()
    assert [await second.read(), await first.read()] == [b"/second", b"/first"]
    assert server.connections == 1


@pytest.mark.parametrize("how", ["close", "cancel the read", "cancel the send"])
async def test_an_unread_answer_ends_its_connection_at_once(
    server: Server, pool: UpstreamPool, how: str
) -> None:
    async def script(exchange: Exchange) -> None:
        if how != "cancel the send":
            await exchange.write(CHUNKED + b"2\r\nhi\r\n")
        await asyncio.sleep(5)

    server.script = script
    if how == "cancel the send":
        task = asyncio.create_task(pool.send(server.request(), PATIENT))
        await until(lambda: len(server.seen) == 1)
    else:
        response = await pool.send(server.request(), PATIENT)
        assert await response.next_chunk() == b"hi"
        task = asyncio.create_task(response.next_chunk())
        await asyncio.sleep(0.01)
    if how == "close":
        response.close()
        response.close()
        with pytest.raises(UpstreamBroken):
            await task
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert pool.stats() == PoolStats(open=0, idle=0)
    await until(lambda: server.lost == 1)
    server.script = Exchange.answer
    assert await fetch(pool, server.request()) == b"ok"
    assert server.connections == 2


async def test_a_kept_connection_that_died_unanswered_is_replaced_once(
    server: Server, pool: UpstreamPool
) -> None:
    async def script(exchange: Exchange) -> None:
        if len(server.seen) in {2, 4, 5}:
            exchange.reset()
        else:
            await exchange.answer()

    server.script = script
    assert await fetch(pool, server.request()) == b"ok"
    assert await fetch(pool, server.request()) == b"ok"  # 2 died, 3 answered
    assert (len(server.seen), server.connections) == (3, 2)
    with pytest.raises(UpstreamBroken):  # 4 died, and so did its one retry
        await fetch(pool, server.request())
    assert (len(server.seen), server.connections) == (5, 3)


async def test_no_retry_on_a_fresh_connection_or_after_a_byte_or_a_timeout(
    server: Server, pool: UpstreamPool
) -> None:
    async def dies(exchange: Exchange) -> None:
        exchange.reset()

    server.script = dies
    with pytest.raises(UpstreamBroken):
        await fetch(pool, server.request())
    assert len(server.seen) == 1

    server.script = Exchange.answer
    await fetch(pool, server.request())

    async def dies_in_the_head(exchange: Exchange) -> None:
        await exchange.write(b"H")
        await asyncio.sleep(0.02)
        exchange.reset()

    server.script = dies_in_the_head
    with pytest.raises(UpstreamBroken):
        await fetch(pool, server.request())
    assert len(server.seen) == 3

    server.script = Exchange.answer
    await fetch(pool, server.request())
    server.script = lambda exchange: asyncio.sleep(5)
    with pytest.raises(UpstreamTimedOut):
        await pool.send(server.request(), Deadlines(5, 0.1, 5, 5))
    assert len(server.seen) == 5


@pytest.mark.parametrize(
    "surplus", [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"H", b"\x00garbage"]
)
@pytest.mark.parametrize("is_late", [False, True])
async def test_bytes_that_nobody_asked_for_end_the_connection(
    server: Server, pool: UpstreamPool, surplus: bytes, is_late: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood"
        if is_late:
            await exchange.write(answer)
            await asyncio.sleep(0.02)
            await exchange.write(surplus)
        else:
            await exchange.write(answer + surplus)

    server.script = script
    for _ in range(3):
        assert await fetch(pool, server.request()) == b"good"
        await until(lambda: pool.stats() == PoolStats(open=0, idle=0))
    assert server.connections == 3


async def test_an_idle_connection_that_the_provider_closes_is_forgotten(
    server: Server, pool: UpstreamPool
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer()
        exchange.close()

    server.script = script
    await fetch(pool, server.request())
    await until(lambda: pool.stats() == PoolStats(open=0, idle=0))


async def test_stale_connections_expire(server: Server) -> None:
    pool = UpstreamPool(AddressGuard(LOCAL), idle_expiry_s=0.05)
    await fetch(pool, server.request())
    await asyncio.sleep(0.1)
    await fetch(pool, server.request())
    assert server.connections == 2
    await asyncio.sleep(0.1)
    pool._sweep()
    assert pool.stats() == PoolStats(open=0, idle=0)
    assert pool._origins == {}
    await pool.close()


async def test_idle_and_open_connections_are_bounded(server: Server) -> None:
    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(0.02)
        await exchange.answer()

    server.script = script
    pool = UpstreamPool(AddressGuard(LOCAL), max_idle_per_origin=2, caps=Caps(open_per_origin=4))
    most = 0

    async def one() -> None:
        nonlocal most
        response = await pool.send(server.request(), PATIENT)
        most = max(most, pool.stats().open)
        assert await response.read() == b"ok"

    await asyncio.gather(*(one() for _ in range(40)))
    assert (most, len(server.seen)) == (4, 40)
    assert pool.stats() == PoolStats(open=2, idle=2)
    await pool.close()


async def test_waiting_for_a_place_is_part_of_connecting(server: Server) -> None:
    server.script = lambda exchange: asyncio.sleep(5)
    pool = UpstreamPool(AddressGuard(LOCAL), caps=Caps(open_per_origin=1))
    first = asyncio.create_task(pool.send(server.request(), PATIENT))
    await until(lambda: len(server.seen) == 1)
    with pytest.raises(UpstreamTimedOut) as caught:
        await pool.send(server.request(), Deadlines(0.1, 5, 5, 5))
    assert caught.value.phase == "connect"
    waiting = asyncio.create_task(pool.send(server.request(), PATIENT))
    await asyncio.sleep(0.01)
    server.script = Exchange.answer
    first.cancel()
    assert await (await waiting).read() == b"ok"
    await pool.close()


async def test_closing_the_pool_breaks_what_is_under_way(server: Server) -> None:
    pool = UpstreamPool(AddressGuard(LOCAL))
    await fetch(pool, server.request())
    server.script = lambda exchange: asyncio.sleep(5)
    under_way = asyncio.create_task(pool.send(server.request(), PATIENT))
    await until(lambda: len(server.seen) == 2)
    await pool.close()
    with pytest.raises(UpstreamConnectFailed):
        await under_way
    with pytest.raises(UpstreamConnectFailed):
        await pool.send(server.request(), PATIENT)
    await until(lambda: server.lost == server.connections == 1)
    assert pool.stats() == PoolStats(open=0, idle=0)


async def test_no_answer_crosses_requests(server: Server, pool: UpstreamPool) -> None:
    """2,000 requests with a nonce each, about half of them cancelled at a random moment."""
    dice = random.Random(7)

    async def script(exchange: Exchange) -> None:
        nonce = exchange.body
        await asyncio.sleep(dice.random() * 0.004)
        if exchange.path == "/stream":
            await exchange.write(CHUNKED)
            for _ in range(4):
                await exchange.write(b"%x\r\n%b\r\n" % (len(nonce), nonce))
                await asyncio.sleep(dice.random() * 0.002)
            await exchange.write(b"0\r\n\r\n")
        else:
            await exchange.answer(nonce * 4)

    server.script = script
    outcomes = {"read": 0, "cancelled": 0, "mismatch": 0}

    async def one(number: int) -> None:
        nonce = b"nonce-%d-%d;" % (number, dice.getrandbits(64))
        path = "/stream" if number % 2 else "/whole"
        task = asyncio.create_task(fetch(pool, server.request(path, nonce)))
        if dice.random() < 0.6:
            await asyncio.sleep(dice.random() * 0.008)
            task.cancel()
        try:
            body = await task
        except asyncio.CancelledError:
            outcomes["cancelled"] += 1
        else:
            outcomes["read" if body == nonce * 4 else "mismatch"] += 1

    async def worker(start: int) -> None:
        for number in range(start, 2000, 25):
            await one(number)

    await asyncio.gather(*(worker(start) for start in range(25)))
    assert outcomes["mismatch"] == 0
    assert outcomes["read"] + outcomes["cancelled"] == 2000
    assert outcomes["cancelled"] > 600
    assert outcomes["read"] > 600
    stats = pool.stats()
    assert stats.open == stats.idle <= 25
    await until(lambda: server.connections - server.lost == stats.open)
