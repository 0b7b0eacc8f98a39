"""Bodies that are packed, huge, or read by somebody slow."""

import asyncio
import gzip
import os
import zlib
from pathlib import Path

import pytest

from apps.providers.upstream import UpstreamPool
from chatvault.lib.errors import UpstreamBroken, UpstreamTooLarge
from tests.providers.upstream.server import PATIENT, Exchange, Server, raw, until

TEXT = b"data: " + bytes(range(256)) * 100
_raw_deflate = zlib.compressobj(wbits=-15)
PACKED = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "x-gzip": gzip.compress(TEXT, mtime=0),
    "GZIP ": gzip.compress(TEXT[:999], mtime=0) + gzip.compress(TEXT[999:], mtime=0),
    "deflate": zlib.compress(TEXT),
    "Deflate": _raw_deflate.compress(TEXT) + _raw_deflate.flush(),
    "identity": TEXT,
}


def packed(coding: str, data: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("slice_bytes", [1_000_000, 7])
async def test_packed_bodies_are_unpacked(
    server: Server, small_pool: UpstreamPool, coding: str, slice_bytes: int
) -> None:
    wire = packed(coding, PACKED[coding])

    async def script(exchange: Exchange) -> None:
        for start in range(0, len(wire), slice_bytes):
            await exchange.write(wire[start : start + slice_bytes])
            await asyncio.sleep(0)

    server.script = script
    response = await small_pool.send(server.request(), PATIENT)
    assert await response.read() == TEXT
    assert "content-encoding" not in response.headers
    assert small_pool.stats().idle == 1


async def test_packed_chunks_are_handed_over_as_they_arrive(
    server: Server, pool: UpstreamPool
) -> None:
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        packer = zlib.compressobj(wbits=31)
        await exchange.write(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for word in (b"one", b"two", b""):
            data = packer.compress(word)
            data += packer.flush(zlib.Z_SYNC_FLUSH if word else zlib.Z_FINISH)
            await exchange.write(b"%x\r\n%b\r\n" % (len(data), data))
            await go.wait()
        await exchange.write(b"0\r\n\r\n")

    server.script = script
    response = await pool.send(server.request(), PATIENT)
    assert await response.next_chunk() == b"one"
    go.set()
    assert await response.next_chunk() == b"two"
    assert await response.next_chunk() == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_ends_at_the_cap(
    server: Server, small_pool: UpstreamPool, coding: str
) -> None:
    bomb = b"\x00" * 30_000_000
    data = gzip.compress(bomb) if coding == "gzip" else zlib.compress(bomb)
    assert len(data) < 50_000
    server.script = raw(packed(coding, data))
    response = await small_pool.send(server.request(), PATIENT)
    got = 0
    with pytest.raises(UpstreamTooLarge):
        while chunk := await response.next_chunk():
            got += len(chunk)
    assert got <= 50_000
    with pytest.raises(UpstreamTooLarge):
        await response.read()


DAMAGED = {
    "cut at the end": PACKED["gzip"][:-9],
    "cut in the header": PACKED["gzip"][:5],
    "not packed": b"not gzip at all",
    "with a tail": PACKED["gzip"] + b"junk",
    "overwritten": PACKED["gzip"][:30] + b"\xff" * 30,
}


@pytest.mark.parametrize("damage", DAMAGED)
async def test_damaged_and_cut_packing_is_broken(
    server: Server, small_pool: UpstreamPool, damage: str
) -> None:
    server.script = raw(packed("gzip", DAMAGED[damage]))
    response = await small_pool.send(server.request(), PATIENT)
    with pytest.raises(UpstreamBroken):
        await response.read()


async def test_an_empty_packed_body_is_empty(server: Server, pool: UpstreamPool) -> None:
    server.script = raw(packed("gzip", b""))
    assert await (await pool.send(server.request(), PATIENT)).read() == b""


async def test_a_slow_reader_slows_the_provider(server: Server, pool: UpstreamPool) -> None:
    """What waits here is bounded; the rest stays with the provider and arrives in the end."""
    size, piece = 40_000_000, b"x" * 65536
    written = 0

    async def script(exchange: Exchange) -> None:
        nonlocal written
        await exchange.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())
        while written < size:
            await exchange.write(piece[: size - written])
            written += len(piece[: size - written])

    server.script = script
    response = await pool.send(server.request(), PATIENT)
    await until(lambda: response.waiting > 256 * 1024)
    await asyncio.sleep(0.3)
    assert response.waiting <= 512 * 1024
    assert written < 20_000_000
    before, got = written, 0
    while chunk := await response.next_chunk():
        assert len(chunk) <= 512 * 1024
        got += len(chunk)
        assert response.waiting <= 512 * 1024
    assert (got, written >= before, pool.stats().idle) == (size, True, 1)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
async def test_broken_answers_leak_no_descriptor(server: Server, pool: UpstreamPool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        exchange.reset()

    server.script = script

    async def breaks() -> None:
        with pytest.raises(UpstreamBroken):
            await (await pool.send(server.request(), PATIENT)).read()

    await breaks()
    await until(lambda: server.lost == server.connections)
    before = len(os.listdir("/proc/self/fd"))
    await asyncio.gather(*(breaks() for _ in range(50)))
    await until(lambda: server.lost == server.connections)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
