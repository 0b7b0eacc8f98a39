"""One answer, as its reader sees it: a head, then chunks until b"" or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from apps.providers.upstream.decode import Decoder
from chatvault.lib.errors import UpstreamBroken, UpstreamError

if TYPE_CHECKING:
    from apps.providers.upstream.connection import Connection

Sink = Callable[[bytes], bool]
"""Takes bytes at once and says whether it is full."""

Drained = Callable[[], Awaitable[None]]


class UpstreamResponse:
    """Have one reader, and `close` it unless it was read to its end.

    The connection goes back to the pool when the last byte has *arrived*; chunks that still wait
    here belong to the answer and outlive it. Only `connection` reaches the transport, and it is
    None from that moment on, so a late `close` cannot touch a connection that serves another.
    """

    __slots__ = (
        "chunks", "connection", "decoder", "error", "failure", "headers", "is_complete",
        "is_full", "is_paused", "loop", "sink", "status", "waiter", "waiting",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.loop = loop
        self.connection: Connection | None = connection
        self.chunks: list[bytes] = []
        self.waiting = 0  # bytes in `chunks`
        self.waiter: asyncio.Future[None] | None = None
        self.error: UpstreamError | None = None
        self.decoder: Decoder | None = None
        self.is_complete = False
        self.is_paused = False
        self.sink: Sink | None = None
        self.failure: Exception | None = None  # of the sink
        self.is_full = False  # the sink wants no more for now

    async def pipe(self, sink: Sink, drained: Drained) -> None:
        """Hand the body to `sink` as it arrives, without a turn of the event loop in between.

        Returns at the clean end; raises as `next_chunk` does, and what the sink raises. The body
        may then be piped on: nothing is lost or handed over twice. When the sink says that it is
        full, nothing is read until `drained()` has returned.
        """
        if self.decoder is not None:
            while data := await self.next_chunk():
                if sink(data):
                    await drained()
            return
        self.sink = sink
        try:
            await self._pipe(sink, drained)
        finally:
            self.sink = None

    async def _pipe(self, sink: Sink, drained: Drained) -> None:
        while True:
            if self.is_full:
                await drained()
                self.is_full = False
                if self.is_paused and self.connection is not None:
                    self.connection.resume()
            if self.chunks:
                self.is_full = sink(self.take())
            elif self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            elif self.error is not None:
                raise self.error
            elif self.is_complete:
                return
            else:
                await self.wait()

    async def next_chunk(self) -> bytes:
        """All bytes that arrived since the last call; b"" at the clean end of the answer.

        Raises UpstreamBroken, UpstreamTimedOut or UpstreamTooLarge after the bytes that came
        before the fault; cancelling it closes the connection.
        """
        if self.decoder is not None:
            return await self._next_decoded(self.decoder)
        chunks = self.chunks
        while not chunks:
            if self.error is not None:
                raise self.error
            if self.is_complete:
                return b""
            await self.wait()
        return self._drain()

    async def read(self) -> bytes:
        """The rest of the body. Raises as `next_chunk` does."""
        if self.is_complete and self.decoder is None and self.error is None:
            return self._drain()
        parts = []
        while part := await self.next_chunk():
            parts.append(part)
        return b"".join(parts)

    def close(self) -> None:
        """Give the answer up: one that has not arrived in full ends its connection at once.
        Never raises; later reads raise UpstreamBroken, after what had arrived."""
        connection = self.connection
        if connection is not None:
            connection.give_up(UpstreamBroken("The answer was closed by its reader."))

    def take(self) -> bytes:
        """What has arrived and was not handed over yet."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.waiting = 0
        return data

    def _drain(self) -> bytes:
        data = self.take()
        if self.is_paused and self.connection is not None:
            self.connection.resume()
        return data

    async def _next_decoded(self, decoder: Decoder) -> bytes:
        while True:
            if decoder.pending:
                await asyncio.sleep(0)  # unpacking is work: others get their turn between pieces
            piece = self._take(decoder)
            if piece:
                return piece
            if self.chunks:
                decoder.feed(self._drain())
            elif self.error is not None:
                raise self.error
            elif self.is_complete:
                decoder.finish()
                return b""
            else:
                await self.wait()

    def _take(self, decoder: Decoder) -> bytes:
        try:
            return decoder.take()
        except UpstreamError as error:
            self.error = error
            self.close()
            raise

    async def wait(self) -> None:
        """Until something new is here: the head, bytes, the end or an error."""
        waiter = self.waiter = self.loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self.waiter = None
