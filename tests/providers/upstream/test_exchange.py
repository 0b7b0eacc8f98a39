"""Requests go out as written, answers come back as sent, however they are framed or sliced."""

import asyncio
import random

import pytest

from apps.providers.upstream import UpstreamPool, UpstreamRequest
from chatvault.lib.errors import UpstreamBroken, UpstreamError, UpstreamForbidden, UpstreamTooLarge
from tests.providers.upstream.server import PATIENT, Exchange, Server, raw, raw_then_close, until

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


async def test_a_request_is_written_as_it_was_given(server: Server, pool: UpstreamPool) -> None:
    headers = (("Authorization", "Bearer sk-1"), ("X-Name", "caf\xe9"))
    request = UpstreamRequest("POST", server.url("/v1/x?y=1"), headers, b'{"a":1}')
    response = await pool.send(request, PATIENT)
    assert (response.status, await response.read()) == (200, b"ok")
    [seen] = server.seen
    assert seen.head.split(b"\r\n") == [
        b"POST /v1/x?y=1 HTTP/1.1",
        b"host: 127.0.0.1:%d" % server.port,
        b"Authorization: Bearer sk-1",
        b"X-Name: caf\xe9",
        b"accept-encoding: identity",
        b"content-length: 7",
    ]
    assert seen.body == b'{"a":1}'


async def test_callers_do_not_frame(server: Server, pool: UpstreamPool) -> None:
    headers = (
        ("Host", "evil.test"), ("Content-Length", "0"), ("Transfer-Encoding", "chunked"),
        ("Connection", "close"), ("Accept-Encoding", "gzip"), ("Proxy-Authorization", "Basic x"),
    )  # fmt: skip
    response = await pool.send(UpstreamRequest("POST", server.url(), headers, b"abc"), PATIENT)
    await response.read()
    assert server.seen[0].headers == {
        "host": f"127.0.0.1:{server.port}",
        "accept-encoding": "gzip",
        "content-length": "3",
    }


@pytest.mark.parametrize(
    ("method", "header"),
    [
        ("POST", ("x-a", "1\r\nx-b: 2")), ("POST", ("x-a", "1\n")), ("POST", ("x-a", "\x00")),
        ("POST", ("x-a\r\n", "1")), ("POST", ("x a", "1")), ("POST", ("", "1")),
        ("POST", ("x-a", "\u0100")), ("POST", ("x-a:", "1")), ("GET / HTTP/1.1\r\nx:", ("a", "b")),
    ],
)  # fmt: skip
async def test_no_header_ends_its_line(
    server: Server, pool: UpstreamPool, method: str, header: tuple[str, str]
) -> None:
    with pytest.raises(UpstreamForbidden):
        await pool.send(UpstreamRequest(method, server.url(), (header,), b""), PATIENT)
    assert server.connections == 0


async def test_a_large_body_arrives_whole_and_the_connection_is_kept(
    server: Server, pool: UpstreamPool
) -> None:
    body = random.Random(1).randbytes(3_000_000)
    for _ in range(2):
        response = await pool.send(server.request(body=body), PATIENT)
        assert await response.read() == b"ok"
    assert [exchange.body == body for exchange in server.seen] == [True, True]
    assert server.connections == 1


async def test_header_names_are_lower_case_and_repeated_ones_are_joined(
    server: Server, pool: UpstreamPool
) -> None:
    server.script = raw(HEAD + b"X-A: 1\r\nx-a: 2\r\nCONTENT-length: 0\r\n\r\n")
    response = await pool.send(server.request(), PATIENT)
    assert response.headers == {"x-a": "1, 2", "content-length": "0"}
    assert await response.next_chunk() == b""


@pytest.mark.parametrize("status", [200, 301, 302, 307, 400, 401, 404, 429, 500, 503, 529])
async def test_every_status_is_an_answer_and_no_redirect_is_followed(
    server: Server, pool: UpstreamPool, status: int
) -> None:
    other = Server()
    await other.start()

    async def script(exchange: Exchange) -> None:
        await exchange.answer(b"body", f"{status} Thing", f"location: {other.url()}")

    server.script = script
    response = await pool.send(server.request(), PATIENT)
    assert (response.status, await response.read()) == (status, b"body")
    assert (len(server.seen), other.connections) == (1, 0)
    await other.stop()


FRAMINGS = {
    "length": (HEAD + b"content-length: 11\r\n\r\nhello world", b"hello world", True),
    "chunked": (
        CHUNKED + b"5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", b"hello world", True,
    ),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
        + HEAD + b"content-length: 2\r\n\r\nhi", b"hi", True,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "empty": (HEAD + b"content-length: 0\r\n\r\n", b"", True),
    "close": (HEAD + b"connection: close\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", b"hi", False),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nx-t: 1\r\n\r\n", b"hi", False),
}  # fmt: skip


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_framings_and_what_they_mean_for_the_connection(
    server: Server, pool: UpstreamPool, framing: str
) -> None:
    wire, body, is_kept = FRAMINGS[framing]
    server.script = raw(wire)
    for _ in range(2):
        response = await pool.send(server.request(), PATIENT)
        assert await response.read() == body
        assert "link" not in response.headers
    assert server.connections == (1 if is_kept else 2)


async def test_a_body_without_a_length_ends_with_its_connection(
    server: Server, pool: UpstreamPool
) -> None:
    server.script = raw_then_close(HEAD + b"\r\nhello")
    response = await pool.send(server.request(), PATIENT)
    assert await response.read() == b"hello"
    assert pool.stats().open == 0


async def test_an_answer_to_head_has_no_body(server: Server, pool: UpstreamPool) -> None:
    server.script = raw(HEAD + b"content-length: 5\r\n\r\n")
    response = await pool.send(UpstreamRequest("HEAD", server.url(), (), b""), PATIENT)
    assert (response.headers["content-length"], await response.read()) == ("5", b"")


@pytest.mark.parametrize("framing", [*FRAMINGS, "until close"])
async def test_any_slicing_gives_the_same_answer(
    server: Server, pool: UpstreamPool, framing: str
) -> None:
    dice = random.Random(framing)
    wire, body, _ = FRAMINGS.get(framing, (HEAD + b"\r\nto the end", b"to the end", False))

    async def script(exchange: Exchange) -> None:
        rest = wire
        while rest:
            size = 1 if len(server.seen) == 1 else dice.randint(1, len(rest))
            await exchange.write(rest[:size])
            rest = rest[size:]
            await asyncio.sleep(0)
        if framing == "until close":
            exchange.close()

    server.script = script
    for _ in range(8):
        response = await pool.send(server.request(), PATIENT)
        assert response.status in {200, 204}
        assert await response.read() == body


async def test_chunks_are_handed_over_as_they_arrive(server: Server, pool: UpstreamPool) -> None:
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.write(CHUNKED)
        for word in (b"one", b"two"):
            await exchange.write(b"3\r\n" + word + b"\r\n")
            await go.wait()
            go.clear()
        await exchange.write(b"0\r\n\r\n")

    server.script = script
    response = await pool.send(server.request(), PATIENT)
    assert await response.next_chunk() == b"one"
    go.set()
    assert await response.next_chunk() == b"two"
    go.set()
    assert [await response.next_chunk(), await response.next_chunk()] == [b"", b""]
    assert pool.stats().idle == 1


GARBAGE = {
    "not http": b"SSH-2.0-OpenSSH_9.2\r\n",
    "http/2": b"HTTP/2 200 OK\r\n\r\n",
    "bad status": b"HTTP/1.1 2x0 OK\r\n\r\n",
    "no such status": b"HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\nhi",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    "endless interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    "both": HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "both, other way": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\nhi",
    "two lengths": HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nhi!",
    "same length twice": HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\nhi",
    "length list": HEAD + b"content-length: 2, 2\r\n\r\nhi",
    "negative length": HEAD + b"content-length: -2\r\n\r\nhi",
    "signed length": HEAD + b"content-length: +2\r\n\r\nhi",
    "hex length": HEAD + b"content-length: 0x2\r\n\r\nhi",
    "coding": HEAD + b"transfer-encoding: gzip\r\n\r\nhi",
    "coding before chunked": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    "space before colon": HEAD + b"content-length : 2\r\n\r\nhi",
    "folded": HEAD + b"x-a: 1\r\n folded\r\ncontent-length : 2\r\n\r\nhi",
    "nul": HEAD + b"x-a: \x00\r\ncontent-length: 2\r\n\r\nhi",
    "brotli": HEAD + b"content-encoding: br\r\ncontent-length: 2\r\n\r\nhi",
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_what_is_not_one_unambiguous_answer_is_broken(
    server: Server, pool: UpstreamPool, garbage: str
) -> None:
    server.script = raw(GARBAGE[garbage])
    with pytest.raises(UpstreamBroken):
        await pool.send(server.request(), PATIENT)
    await until(lambda: server.lost == 1)
    assert (pool.stats().open, len(server.seen)) == (0, 1)


CUT = {
    "before the head": b"",
    "in the head": HEAD + b"content-le",
    "after the head": HEAD + b"content-length: 5\r\n\r\n",
    "in a counted body": HEAD + b"content-length: 5\r\n\r\nhel",
    "between chunks": CHUNKED + b"3\r\nhel\r\n",
    "in a chunk": CHUNKED + b"5\r\nhel",
    "before the last line": CHUNKED + b"3\r\nhel\r\n0\r\n",
}


@pytest.mark.parametrize("ending", ["eof", "reset"])
@pytest.mark.parametrize("cut", CUT)
async def test_an_answer_that_breaks_off_is_never_whole(
    server: Server, pool: UpstreamPool, cut: str, ending: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.write(CUT[cut])
        await asyncio.sleep(0.01)
        exchange.close() if ending == "eof" else exchange.reset()

    server.script = script
    got = b""
    with pytest.raises(UpstreamBroken):
        response = await pool.send(server.request(), PATIENT)
        while chunk := await response.next_chunk():
            got += chunk
    assert got == (b"hel" if b"hel" in CUT[cut] else b"")
    assert (pool.stats().open, len(server.seen)) == (0, 1)


async def test_broken_chunk_sizes_break_the_body(server: Server, pool: UpstreamPool) -> None:
    server.script = raw(CHUNKED + b"3\r\nabc\r\nzz\r\n")
    with pytest.raises(UpstreamError) as caught:
        await (await pool.send(server.request(), PATIENT)).read()
    assert type(caught.value) is UpstreamBroken


@pytest.mark.parametrize(
    "wire",
    [
        HEAD + b"x-big: " + b"a" * 5000 + b"\r\ncontent-length: 2\r\n\r\nhi",
        HEAD + b"x-big: " + b"a" * 5000,
        HEAD + b"x: y\r\n" * 800 + b"content-length: 2\r\n\r\nhi",
        HEAD + b"content-length: 100001\r\n\r\n",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
        CHUNKED + b"186a1\r\n" + b"a" * 100_001,
        CHUNKED + b"400\r\n" + b"a" * 1024 + b"\r\n" + (b"400\r\n" + b"a" * 1024 + b"\r\n") * 100,
        HEAD + b"\r\n" + b"a" * 100_001,
    ],
)
async def test_caps_end_the_connection(
    server: Server, small_pool: UpstreamPool, wire: bytes
) -> None:
    server.script = raw(wire)
    with pytest.raises((UpstreamTooLarge, UpstreamBroken)) as caught:
        await (await small_pool.send(server.request(), PATIENT)).read()
    expected = UpstreamBroken if b"99999999999999999999999" in wire else UpstreamTooLarge
    assert type(caught.value) is expected
    await until(lambda: server.lost == 1)


async def test_random_damage_gives_an_answer_or_one_of_our_errors(
    server: Server, pool: UpstreamPool
) -> None:
    dice = random.Random(3)
    wires = [wire for wire, _, _ in FRAMINGS.values()]
    outcomes = {"answer": 0, "error": 0}

    async def script(exchange: Exchange) -> None:
        wire = bytearray(dice.choice(wires))
        at = dice.randrange(len(wire))
        wire[at : at + dice.randint(0, 2)] = dice.randbytes(dice.randint(0, 2))
        await exchange.write(bytes(wire[: dice.randint(at, len(wire) * 2)]))
        exchange.close()

    server.script = script
    for _ in range(300):
        try:
            await (await pool.send(server.request(), PATIENT)).read()
        except UpstreamError:
            outcomes["error"] += 1
        else:
            outcomes["answer"] += 1
    assert min(outcomes.values()) > 10
    assert pool.stats().idle <= 1
