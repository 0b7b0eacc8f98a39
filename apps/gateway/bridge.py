"""From Django's threads to the data plane's event loop and back, with back-pressure."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps.gateway import lifecycle
from apps.gateway.body import too_large
from apps.gateway.contracts import Headers
from apps.gateway.http import answer
from apps.gateway.plane import DataPlane
from chatvault.lib.errors import ChatVaultError

MOST_WAITING = 64  # parts of a stream between the loop and a client that reads slowly
START_TIMEOUT_S = 30.0

_starting = threading.Lock()


def plane() -> DataPlane:
    """The plane of this process; where no server runs one (WSGI) it gets a thread of its own.

    Raises RuntimeError when it cannot be started.
    """
    with _starting:
        running = lifecycle.running()
        if running is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="data-plane", daemon=True).start()
            asyncio.run_coroutine_threadsafe(lifecycle.start(), loop).result(START_TIMEOUT_S)
            running = lifecycle.running()
    if running is None:
        raise RuntimeError("the data plane did not start")
    return running


def most_body_bytes() -> int:
    return plane().options.max_body_bytes


def respond(
    path: str, method: str, headers: Headers, body: bytes | None, peer: str = ""
) -> HttpResponseBase:
    """Answer one request through the pipeline; a `body` of None was too large to read."""
    serving = plane()
    taken: bytes | ChatVaultError = too_large(serving) if body is None else body
    outlet = QueueOutlet(serving.loop)
    future = asyncio.run_coroutine_threadsafe(
        _run(path, method, headers, taken, outlet, peer=peer), serving.loop
    )
    status, head = outlet.head.result()
    if any(name == b"content-length" for name, _ in head):
        response: HttpResponseBase = HttpResponse(b"".join(outlet.parts()), status=status)
    else:
        response = StreamingHttpResponse(_Stream(outlet, future), status=status)
    for name, value in head:
        if name != b"content-length":
            response[name.decode()] = value.decode()
    return response


async def _run(
    path: str,
    method: str,
    headers: Headers,
    body: bytes | ChatVaultError,
    outlet: QueueOutlet,
    *,
    peer: str,
) -> None:
    try:
        await answer(path, headers, body, outlet, method=method, peer=peer)
    finally:
        outlet.finish()


class _Stream:
    """A streamed body. Django closes it in the end, also when nobody has begun to read it; a
    generator that was not begun would not notice."""

    def __init__(self, outlet: QueueOutlet, future: Future[None]) -> None:
        self._parts = outlet.parts()
        self._future = future

    def __iter__(self) -> Iterator[bytes]:
        return self._parts

    def close(self) -> None:
        self._future.cancel()  # does nothing to one that has ended; else the client hung up


class QueueOutlet:
    """An outlet whose other end is a thread."""

    is_direct = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_started = False
        self.head: Future[tuple[int, Headers]] = Future()
        self._loop = loop
        self._parts: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(MOST_WAITING)

    def parts(self) -> Iterator[bytes]:
        """The body, part by part, as it comes."""
        while (part := self._parts.get()) is not None:
            self._loop.call_soon_threadsafe(self._room.release)
            if part:
                yield part

    def finish(self) -> None:
        """Nothing more comes; also when the answer broke off."""
        if not self.head.done():
            self.head.set_result((500, [(b"content-length", b"0")]))
        self._parts.put(None)

    async def start(self, status: int, headers: Headers) -> None:
        self.is_started = True
        self.head.set_result((status, headers))

    async def write(self, data: bytes) -> None:
        await self._room.acquire()
        self._parts.put(data)

    async def end(self, data: bytes) -> None:
        await self.write(data)

    def push(self, data: bytes) -> bool:
        raise TypeError("a thread is written to by awaiting")

    async def drained(self) -> None:
        return

    def watch(self) -> None:
        """A client that hangs up cancels the future, and so the running task."""

    def unwatch(self) -> bool:
        return False
