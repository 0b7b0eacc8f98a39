"""A raw HTTP/1.1 server: it can break any rule at any byte, and notices when its client leaves."""

import asyncio
import itertools
import socket
import struct
from collections import deque
from collections.abc import Callable
from http import HTTPStatus

import httptools

from tests.fakes.upstream.answers import Event
from tests.fakes.upstream.oracle import Oracle, Seen, mask
from tests.fakes.upstream.replies import Cut, Hold, Reply, Step, Wait, of_bytes

Decide = Callable[[Seen], Reply]
_POLL_S = 0.002
_BODY_LIMIT = 64 * 1024 * 1024


class _Broken(Exception):
    """The fake has ended the connection on purpose."""


class Connection(asyncio.Protocol):
    """One connection; requests are answered one after the other, in the order they came."""

    _numbers = itertools.count(1)

    def __init__(self, decide: Decide, oracle: Oracle, live: set["Connection"]) -> None:
        self._decide, self._oracle, self._live = decide, oracle, live
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Seen] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._current: Seen | None = None
        self._number = next(self._numbers)
        self._left = 0
        self._fresh()

    def _fresh(self) -> None:
        self._path = ""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._live.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._live.discard(self)
        self._writable.set()
        if self._current is not None:
            self._oracle.end(self._current, "hung_up")
        if self._worker is not None:
            self._worker.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            self._transport.close()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # httptools' side

    def on_message_begin(self) -> None:
        self._fresh()

    def on_url(self, url: bytes) -> None:
        self._path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if len(self._body) < _BODY_LIMIT:
            self._body += body

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        headers, secret = mask(self._headers)
        entry = Seen(
            len(self._oracle.seen) + 1, self._number, method, self._path, headers, secret,
            bytes(self._body),
        )  # fmt: skip
        self._waiting.append(entry)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())

    # answering

    async def _work(self) -> None:
        while self._waiting and not self._transport.is_closing():
            entry = self._current = self._waiting.popleft()
            entry.n = len(self._oracle.seen) + 1
            self._oracle.begin(entry)
            try:
                await self._answer(entry, self._reply_to(entry))
            except _Broken:
                self._oracle.end(entry, "cut")
                return
            self._oracle.end(entry, "finished")
            self._current = None
            if entry.headers.get("connection", "").lower() == "close":
                self._transport.close()

    def _reply_to(self, entry: Seen) -> Reply:
        try:
            return self._decide(entry)
        except Exception as error:  # a wrong script must fail its test, not hang it
            self._oracle.problems.append(error)
            return of_bytes(500, {"content-type": "text/plain"}, repr(error).encode())

    async def _answer(self, entry: Seen, reply: Reply) -> None:
        for step in reply.head_steps:
            await self._step(entry, reply, step)
        entry.status = reply.status
        self._left = reply.length or 0
        self._write(entry, _head(reply))
        for step in reply.steps:
            await self._step(entry, reply, step)
        if reply.length is None:
            self._write(entry, b"0\r\n\r\n", is_last=True)
        await self._writable.wait()

    async def _step(self, entry: Seen, reply: Reply, step: Step) -> None:
        match step:
            case Event(data, size):
                if data:
                    framed = data if reply.length is not None else _chunk(data)
                    entry.tokens += size
                    entry.events_sent += 1
                    self._left -= len(data)
                    self._write(entry, framed, is_last=reply.length is not None and not self._left)
                if not self._writable.is_set():
                    await self._writable.wait()
            case Wait(seconds):
                await asyncio.sleep(seconds)
            case Hold(gate):
                while not gate.is_open:  # noqa: ASYNC110 – a test in another thread opens it
                    await asyncio.sleep(_POLL_S)
            case Cut(how):
                self._cut(entry, how)

    def _write(self, entry: Seen, data: bytes, *, is_last: bool = False) -> None:
        if self._transport.is_closing():
            self._oracle.end(entry, "hung_up")
            raise _Broken
        if is_last:  # noted first: whoever has read the end may look at the oracle at once
            self._oracle.end(entry, "finished")
        entry.bytes_sent += len(data)
        self._transport.write(data)

    def _cut(self, entry: Seen, how: str) -> None:
        self._oracle.end(entry, "cut")
        if how == "reset":
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
        raise _Broken

    def abort(self) -> None:
        self._transport.abort()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(reply: Reply) -> bytes:
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    if reply.length is None:
        lines.append("transfer-encoding: chunked")
    else:
        lines.append(f"content-length: {reply.length}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
