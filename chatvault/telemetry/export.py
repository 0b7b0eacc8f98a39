"""The way of spans to the collector: a bounded queue and one thread. Whatever the collector does,
nobody who offers a span ever waits; what does not fit is dropped and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

from apps.providers.adapters.contract import UpstreamRequest
from apps.providers.upstream import Caps, Deadlines, UpstreamPool
from chatvault.lib.errors import UpstreamError
from chatvault.lib.http_guard import AddressGuard, parse_target
from chatvault.lib.spans import Span, Value
from chatvault.telemetry.encode import encode, message_of, resource_of

log = logging.getLogger(__name__)

BATCH: Final = 512
EVERY_S: Final = 0.5
LAST_S: Final = 3.0  # what the last batches may take when the process ends
_SLICE: Final = 8  # spans that are encoded in one go: well below a millisecond
_BREATH_S: Final = 0.001
_RETRY_S: Final = (0.5, 1.0, 2.0, 4.0)
_AGAIN: Final = frozenset({429, 502, 503, 504})
_CAPS: Final = Caps(body_bytes=2**20, decompressed_bytes=2**20)


class Destination(msgspec.Struct, frozen=True):
    """Where spans go, and what is said of the process that they come from."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    resource: dict[str, Value] = {}
    timeout_s: float = 5.0
    proxy: str | None = None
    no_proxy: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Destination({self.url})"  # headers hold the secret


class Counts(msgspec.Struct):
    """Since the process began."""

    sent: int = 0
    dropped: int = 0  # the queue was full
    failed: int = 0  # the collector would not have them


class Exporter:
    """One in a process, started after the last fork."""

    def __init__(self, destination: Destination, *, most_waiting: int) -> None:
        self.counts = Counts()
        self._destination = destination
        self._most = most_waiting
        self._queue: deque[Span] = deque()
        self._lock = threading.Lock()
        self._is_stopping = False
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, spans: Sequence[Span]) -> bool:
        """Take them to be sent later. False: they were dropped, because too many wait already."""
        if len(self._queue) + len(spans) > self._most:
            with self._lock:
                self.counts.dropped += len(spans)
            return False
        self._queue.extend(spans)
        return True

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def stop(self) -> None:
        """Send what waits, for as long as it may take, and end."""
        self._is_stopping = True
        if self._thread.is_alive():
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # it has ended by itself
                    self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(LAST_S + 1.0)

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception:  # the outermost edge of the thread: spans are dropped from now on
            log.exception("traces are not sent any more")

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        wanted = self._destination
        target = parse_target(wanted.url)
        pool = UpstreamPool(  # the one host that the operator named, and no other
            AddressGuard((f"{target.host}:{target.port}",)),
            proxy=wanted.proxy,
            no_proxy=wanted.no_proxy,
            caps=_CAPS,
        )
        resource = resource_of(wanted.resource)
        until = float("inf")
        try:
            while time.monotonic() < until:
                if self._is_stopping:
                    until = min(until, time.monotonic() + LAST_S)
                if not self._queue:
                    if self._is_stopping:
                        break
                    await self._rest(EVERY_S)
                    continue
                messages: list[Message] = []
                while self._queue and len(messages) < BATCH:
                    messages.append(message_of(self._queue.popleft()))
                    if len(messages) % _SLICE == 0:  # requests come first
                        await asyncio.sleep(0 if self._is_stopping else _BREATH_S)
                await self._deliver(pool, encode(messages, resource), len(messages), until)
                await self._rest(EVERY_S if len(messages) < BATCH else _BREATH_S)
        finally:
            await pool.close()

    async def _rest(self, seconds: float) -> None:
        """Less, when the process ends meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _deliver(self, pool: UpstreamPool, body: bytes, count: int, until: float) -> None:
        """Try again a few times while the collector is away or busy, then give the batch up."""
        for wait_s in (*_RETRY_S, 0.0):
            why = await self._send(pool, body, until)
            if not why:
                self.counts.sent += count
                if self._has_failed:
                    log.info("the collector takes traces again")
                self._has_failed = False
                return
            if not self._has_failed:
                log.warning("the collector takes no traces: %s", why)
            self._has_failed = True
            if wait_s == 0.0 or why.startswith("it refused") or self._is_stopping:
                break
            await self._rest(wait_s)
        self.counts.failed += count

    async def _send(self, pool: UpstreamPool, body: bytes, until: float) -> str:
        """Why it was not taken; empty when it was."""
        wanted = self._destination
        left_s = min(wanted.timeout_s, max(until - time.monotonic(), 0.1))
        headers = (("content-type", "application/x-protobuf"), *wanted.headers)
        deadlines = Deadlines(connect_s=left_s, first_byte_s=left_s, idle_s=left_s, total_s=left_s)
        try:
            answer = await pool.send(UpstreamRequest("POST", wanted.url, headers, body), deadlines)
            await answer.read()
        except UpstreamError as error:
            return error.message.replace("provider", "collector")
        if 200 <= answer.status < 300:
            return ""
        verb = "is busy, with" if answer.status in _AGAIN else "refused, with"
        return f"it {verb} status {answer.status}"
