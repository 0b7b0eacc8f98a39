"""The connections to one scheme, host and port: idle ones kept warm, all of them counted."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from apps.providers.upstream.connection import Connection
from apps.providers.upstream.contract import Caps
from chatvault.lib.errors import UpstreamBroken, UpstreamConnectFailed, UpstreamTimedOut
from chatvault.lib.http_guard import Target

if TYPE_CHECKING:
    from apps.providers.upstream.dial import Dialer


class Origin:
    """Last in, first out: under little load the surplus grows old and is closed."""

    __slots__ = (
        "_caps", "_dialer", "_dialing", "_idle_s", "_is_shut", "_max_idle", "_queue",
        "connections", "idle", "key", "loop", "target",
    )  # fmt: skip

    def __init__(
        self, target: Target, dialer: Dialer, caps: Caps, *, max_idle: int, idle_s: float
    ) -> None:
        self.target = target
        self.key = (target.scheme, target.host, target.port)
        self.loop = asyncio.get_running_loop()
        self.idle: list[Connection] = []
        self.connections: set[Connection] = set()
        self._dialer = dialer
        self._dialing = 0
        self._is_shut = False
        self._caps = caps
        self._max_idle = max_idle
        self._idle_s = idle_s
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def open(self) -> int:
        return len(self.connections) + self._dialing

    @property
    def is_wanted(self) -> bool:
        return bool(self._queue)

    def take(self) -> Connection | None:
        """The freshest idle connection, unless it is stale."""
        idle = self.idle
        if not idle:
            return None
        connection = idle.pop()
        if self.loop.time() - connection.idle_since <= self._idle_s:
            return connection
        connection.abort()
        self.sweep()
        return None

    def release(self, connection: Connection) -> None:
        """Take back a connection whose answer has arrived in full."""
        if len(self.idle) >= self._max_idle:
            connection.abort()
            return
        connection.idle_since = self.loop.time()
        self.idle.append(connection)
        if self._queue:
            self._wake_one()

    def forget(self, connection: Connection) -> None:
        """The connection is gone, or about to be."""
        if connection in self.connections:
            self.connections.discard(connection)
            if connection in self.idle:
                self.idle.remove(connection)
            self._wake_one()

    def sweep(self) -> None:
        """Close what has idled too long; the oldest are in front."""
        limit = self.loop.time() - self._idle_s
        for connection in [each for each in self.idle if each.idle_since < limit]:
            connection.abort()

    async def open_new(self, timeout_s: float, *, must_be_fresh: bool) -> Connection:
        """A new connection, or one that got free while this waited for a place (unless
        `must_be_fresh`).

        Raises UpstreamTimedOut("connect") when there is no place in time, and as `Dialer.dial`.
        """
        self._refuse_if_shut()
        deadline = self.loop.time() + timeout_s
        while self.open >= self._caps.open_per_origin:
            if not self.idle:
                await self._queue_up(deadline)
            elif must_be_fresh:
                self.idle[0].abort()
            elif (connection := self.take()) is not None:
                return connection
        self._dialing += 1
        try:
            connection = await self._dialer.dial(
                self.target, self._new, max(deadline - self.loop.time(), 0.001)
            )
        finally:
            self._dialing -= 1
            self._wake_one()
        self.connections.add(connection)
        if connection.is_lost or self._is_shut:
            connection.abort()
            self._refuse_if_shut()
            raise UpstreamConnectFailed("The provider closed the connection before it was used.")
        return connection

    def _refuse_if_shut(self) -> None:
        if self._is_shut:
            raise UpstreamConnectFailed("This gateway is shutting down.")

    def shut(self) -> None:
        """Close every connection, also those that are still being made."""
        self._is_shut = True
        for connection in list(self.connections):
            connection.give_up(UpstreamBroken("This gateway is shutting down."))

    def _new(self) -> Connection:
        return Connection(self.loop, self, self._caps)

    async def _queue_up(self, deadline: float) -> None:
        place = self.loop.create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout_at(deadline):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self._wake_one()  # the turn that we cannot use is the next one's
            if isinstance(error, TimeoutError):
                raise UpstreamTimedOut("connect") from None
            raise

    def _wake_one(self) -> None:
        queue = self._queue
        while queue:
            place = queue.popleft()
            if not place.done():
                place.set_result(None)
                return
