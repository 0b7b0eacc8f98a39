"""The demo provider itself: what a server would do, without one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from apps.providers.adapters import sse
from apps.providers.adapters.contract import (
    Call,
    Endpoint,
    StreamReader,
    UpstreamAnswer,
    UpstreamRequest,
)
from apps.providers.adapters.demo import answers
from apps.providers.adapters.demo.reading import read_request
from apps.providers.adapters.openai.stream import PassThrough
from chatvault.lib.errors import BadRequest

if TYPE_CHECKING:
    from apps.providers.upstream import UpstreamPool

_DELAY = re.compile(r"-(\d{1,5})ms\b")
_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream"}


def build_request(call: Call, endpoint: Endpoint) -> UpstreamRequest:
    """What `perform` answers; it never leaves the process."""
    return UpstreamRequest("POST", f"demo:{call.operation}", (), call.body)


def open_stream(call: Call, endpoint: Endpoint) -> StreamReader:
    return PassThrough(call, strips_usage=not call.wants_usage)


def perform(
    call: Call, endpoint: Endpoint, pool: UpstreamPool | None
) -> AbstractAsyncContextManager[UpstreamAnswer]:
    """Answers at once, or as slowly as the model's name says: `demo-20ms` waits 20 ms a token."""
    return _perform(call, endpoint)


@asynccontextmanager
async def _perform(call: Call, endpoint: Endpoint) -> AsyncIterator[UpstreamAnswer]:
    delay_s = delay_of(endpoint.model)
    try:
        request = read_request(call)
        chunks = answers.stream_chunks(call, endpoint.model, request) if call.stream else None
        body = b"" if call.stream else answers.whole(call, endpoint.model, request)
    except BadRequest as refusal:
        refused = msgspec.json.encode(refusal.openai())
        yield DemoAnswer(refusal.http_status, _JSON, iter([refused]), 0.0)
        return
    if chunks is None:
        answer = DemoAnswer(200, _JSON, iter([body]), delay_s)
    else:
        answer = DemoAnswer(200, _SSE, _frames(chunks), delay_s)
    try:
        yield answer
    finally:
        answer.close()


def delay_of(model: str) -> float:
    """Seconds between tokens that the model's name asks for."""
    match = _DELAY.search(model)
    return int(match.group(1)) / 1000 if match else 0.0


def _frames(chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield sse.event(chunk)
    yield sse.DONE


class DemoAnswer:
    """An UpstreamAnswer that is computed as it is read."""

    def __init__(
        self, status: int, headers: dict[str, str], chunks: Iterator[bytes], delay_s: float
    ) -> None:
        self.status = status
        self.headers = headers
        self._chunks = chunks
        self._delay_s = delay_s

    async def next_chunk(self) -> bytes:
        """The next bytes; b"" at the end."""
        chunk = next(self._chunks, b"")
        if chunk:
            await asyncio.sleep(self._delay_s)
        return chunk

    async def read(self) -> bytes:
        parts = []
        while chunk := await self.next_chunk():
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        self._chunks = iter(())
