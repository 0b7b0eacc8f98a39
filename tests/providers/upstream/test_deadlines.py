"""Four deadlines, each kept within 250 ms whatever trickles in."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from apps.providers.upstream import Deadlines, UpstreamPool, UpstreamRequest
from chatvault.lib.errors import UpstreamTimedOut
from chatvault.lib.http_guard import AddressGuard
from tests.providers.upstream.server import LOCAL, PATIENT, Exchange, Server, full_backlog, until

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@contextmanager
def times_out(phase: str, after_s: float) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(UpstreamTimedOut) as caught:
        yield
    took = time.monotonic() - started
    assert caught.value.phase == phase
    assert after_s - 0.01 <= took <= after_s + 0.25


async def trickle(exchange: Exchange, data: bytes, every_s: float = 0.03) -> None:
    for byte in data:
        await exchange.write(bytes([byte]))
        await asyncio.sleep(every_s)


async def test_silence_before_the_head(server: Server, pool: UpstreamPool) -> None:
    server.script = lambda exchange: asyncio.sleep(5)
    with times_out("first_byte", 0.3):
        await pool.send(server.request(), Deadlines(5, 0.3, 5, 5))
    await until(lambda: server.lost == 1)


async def test_a_trickling_head(server: Server, pool: UpstreamPool) -> None:
    server.script = lambda exchange: trickle(exchange, HEAD)
    with times_out("first_byte", 0.3):
        await pool.send(server.request(), Deadlines(5, 0.3, 5, 5))


async def test_interim_answers_do_not_buy_time(server: Server, pool: UpstreamPool) -> None:
    async def script(exchange: Exchange) -> None:
        for _ in range(10):
            await exchange.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.1)

    server.script = script
    with times_out("first_byte", 0.3):
        await pool.send(server.request(), Deadlines(5, 0.3, 5, 5))


async def test_silence_in_the_body(server: Server, pool: UpstreamPool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(HEAD + b"2\r\nhi\r\n")
        await asyncio.sleep(0.2)
        await exchange.write(b"2\r\nho\r\n")
        await asyncio.sleep(5)

    server.script = script
    response = await pool.send(server.request(), Deadlines(5, 5, 0.3, 5))
    assert await response.next_chunk() == b"hi"
    assert await response.next_chunk() == b"ho"
    with times_out("idle", 0.3):
        await response.next_chunk()
    await until(lambda: server.lost == 1)


@pytest.mark.parametrize("body", [b"1\r\na\r\n" * 50, b"ff\r\n" + b"a" * 200, b"1" * 200])
async def test_a_trickling_body_meets_the_total(
    server: Server, pool: UpstreamPool, body: bytes
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(HEAD)
        await trickle(exchange, body)

    server.script = script
    with times_out("total", 0.4):
        response = await pool.send(server.request(), Deadlines(5, 5, 5, 0.4))
        while await response.next_chunk():
            pass


async def test_the_total_counts_from_send(server: Server, pool: UpstreamPool) -> None:
    server.script = lambda exchange: asyncio.sleep(5)
    with times_out("total", 0.3):
        await pool.send(server.request(), Deadlines(5, 5, 5, 0.3))


async def test_a_shorter_deadline_holds_on_a_kept_connection(
    server: Server, pool: UpstreamPool
) -> None:
    await (await pool.send(server.request(), PATIENT)).read()
    server.script = lambda exchange: asyncio.sleep(5)
    with times_out("first_byte", 0.2):
        await pool.send(server.request(), Deadlines(5, 0.2, 5, 5))
    assert server.connections == 1


async def test_the_timer_of_one_request_does_not_end_the_next(
    server: Server, pool: UpstreamPool
) -> None:
    short = Deadlines(5, 0.2, 0.2, 0.2)
    for _ in range(3):
        await (await pool.send(server.request(), short)).read()
        await asyncio.sleep(0.1)

    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(0.5)
        await exchange.answer()

    server.script = slow
    assert await (await pool.send(server.request(), PATIENT)).read() == b"ok"
    assert server.connections == 1


async def test_our_own_pausing_is_not_the_providers_silence(
    server: Server, pool: UpstreamPool
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(b"a" * 20_000_000)

    server.script = script
    response = await pool.send(server.request(), Deadlines(5, 5, 0.2, 20))
    await asyncio.sleep(0.7)
    assert len(await response.read()) == 20_000_000


async def test_silence_while_connecting(pool: UpstreamPool) -> None:
    with full_backlog() as port:
        request = UpstreamRequest("POST", f"http://127.0.0.1:{port}/", (), b"")
        with times_out("connect", 0.3):
            await pool.send(request, Deadlines(0.3, 5, 5, 5))
        with times_out("total", 0.2):
            await pool.send(request, Deadlines(5, 5, 5, 0.2))
    assert pool.stats().open == 0


async def test_name_resolution_is_part_of_connecting() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        await asyncio.sleep(5)
        return ["127.0.0.1"]

    pool = UpstreamPool(AddressGuard(LOCAL, lookup=lookup))
    with times_out("connect", 0.2):
        request = UpstreamRequest("POST", "http://provider.test/", (), b"")
        await pool.send(request, Deadlines(0.2, 5, 5, 5))
    await pool.close()
