"""One request on the fast lane and its answer: what uvicorn calls a cycle, and an outlet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from apps.gateway import lifecycle
from apps.gateway.body import too_large
from apps.gateway.contracts import ClientGone, Headers
from apps.gateway.http import answer
from chatvault.lib.errors import ChatVaultError

if TYPE_CHECKING:
    from apps.gateway.lane import LaneProtocol

_LAST_CHUNK = b"0\r\n\r\n"


class Exchange:
    """One request and its answer on a connection: what uvicorn calls a cycle, and an outlet."""

    is_direct = True

    __slots__ = (
        "_chunked",
        "_head",
        "_held",
        "_is_crowded",
        "_is_watched",
        "_parts",
        "_protocol",
        "disconnected",
        "headers",
        "is_started",
        "keep_alive",
        "message_event",
        "path",
        "response_complete",
        "size",
        "task",
    )

    def __init__(
        self, protocol: LaneProtocol, path: str, headers: Headers, keep_alive: bool
    ) -> None:
        self._protocol = protocol
        self.path = path
        self.headers = headers
        self.keep_alive = keep_alive
        self.message_event = self  # uvicorn sets it when the connection is lost
        self.disconnected = False
        self.response_complete = False
        self.is_started = False
        self.task: asyncio.Task[None] | None = None
        self._parts: list[bytes] = []
        self._held = 0  # bytes of the body that count against the ceiling of all bodies
        self._is_crowded = False
        self.size = 0
        self._head = b""
        self._chunked = False
        self._is_watched = False

    # what uvicorn's connection tells

    def set(self) -> None:
        if self.task is None:
            self._drop()
        if self.disconnected and self._is_watched and self.task is not None:
            self.task.cancel()

    def take(self, body: bytes) -> None:
        """A part of the body; what passes the cap is counted but not kept."""
        plane = lifecycle.running()
        size = len(body)
        self.size += size
        if plane is None or self._is_crowded or self.size > plane.options.max_body_bytes:
            return
        if plane.gate.hold(size):
            self._held += size
            self._parts.append(body)
        else:
            self._is_crowded = True

    def begin(self) -> None:
        protocol = self._protocol
        parts, self._parts = self._parts, []  # an idle connection keeps no body
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self.task = task = protocol.loop.create_task(self._run(body))
        protocol.tasks.add(task)

    async def _run(self, body: bytes) -> None:
        try:
            peer = (self._protocol.client or ("",))[0]
            await answer(self.path, self.headers, self._read(body), self, peer=peer)
        except ClientGone:
            pass
        finally:
            self._drop()
            self._protocol.tasks.discard(self.task)
            if not self.response_complete:
                self._protocol.transport.close()

    def _drop(self) -> None:
        """The body is no longer held."""
        plane = lifecycle.running()
        if plane is not None:
            plane.gate.drop(self._held)
        self._held = 0

    def _read(self, body: bytes) -> bytes | ChatVaultError:
        plane = lifecycle.running()
        if plane is not None and self._is_crowded:
            plane.metrics.shed("bodies")
            return plane.gate.refusal()
        if plane is not None and self.size > plane.options.max_body_bytes:
            return too_large(plane)
        return body

    # the way out

    async def start(self, status: int, headers: Headers) -> None:
        """The head waits for the first bytes of the body, so that both are one write."""
        self.is_started = True
        lines = [STATUS_LINE[status][:-2]]
        lines += [b": ".join(pair) for pair in self._protocol.server_state.default_headers]
        lines += [b": ".join(pair) for pair in headers]
        if not self.keep_alive:
            lines.append(b"connection: close")
        head = b"\r\n".join(lines)
        self._chunked = b"\r\ncontent-length: " not in head
        if self._chunked:
            head += b"\r\ntransfer-encoding: chunked"
        self._head = head + b"\r\n\r\n"

    async def write(self, data: bytes) -> None:
        if self.push(data):
            await self._protocol.flow.drain()

    def push(self, data: bytes) -> bool:
        if self.disconnected:
            return False
        protocol = self._protocol
        if self._head:
            head, self._head = self._head, b""
            protocol.transport.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))
        else:
            protocol.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return protocol.flow.write_paused

    async def drained(self) -> None:
        await self._protocol.flow.drain()

    async def end(self, data: bytes) -> None:
        """The last bytes. The connection is then free for its next request."""
        if self.response_complete:
            return
        self.response_complete = True
        if self.disconnected:
            return
        protocol = self._protocol
        if not self._chunked:
            protocol.transport.write(self._head + data)
        elif data:
            protocol.transport.write(
                b"%b%x\r\n%b\r\n%b" % (self._head, len(data), data, _LAST_CHUNK)
            )
        else:
            protocol.transport.write(self._head + _LAST_CHUNK)
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_lane_complete()

    def watch(self) -> None:
        self._is_watched = True
        if self.disconnected:
            self.set()

    def unwatch(self) -> bool:
        self._is_watched = False
        return self.disconnected
