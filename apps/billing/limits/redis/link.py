"""One connection to Redis: RESP3, pipelined, answers in the order of the questions.

An answer belongs to the oldest unanswered question, whatever became of those who asked, so a
cancelled caller never leaves its answer to another. Questions of one turn of the event loop go
out in one write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from apps.billing.limits.redis.address import Address, slot_of
from chatvault.lib import clock

CONNECT_S: Final = 2.0
OnAnswer = Callable[[Any], None]


class LinkLost(Exception):
    """There is no connection, or it broke before the answer came."""


class Link(asyncio.Protocol):
    """Made by `connect`. `on_lost` is called once, when the connection is gone."""

    def __init__(self, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self.on_lost: Callable[[], None] | None = None
        self._on_push = on_push
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[float, OnAnswer | None]] = deque()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    @property
    def waiting_since(self) -> float:
        """When the oldest unanswered question was asked; 0: all are answered."""
        return self._waiting[0][0] if self._waiting else 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        try:
            while (answer := reader.gets()) is not False:
                if type(answer) is hiredis.PushNotification:
                    self._pushed(answer)
                elif waiting:
                    _, on_answer = waiting.popleft()
                    if on_answer is not None:
                        on_answer(answer)
        except hiredis.ProtocolError:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        waiting, self._waiting = self._waiting, deque()
        for _, on_answer in waiting:
            if on_answer is not None:
                on_answer(LinkLost())
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()

    def ask(self, words: tuple[bytes | str | int, ...], on_answer: OnAnswer | None) -> None:
        """Send a command; `on_answer` gets its answer, an error of the server, or LinkLost."""
        if self._transport is None:
            if on_answer is not None:
                on_answer(LinkLost())
            return
        self._waiting.append((clock.monotonic(), on_answer))
        self._transport.write(hiredis.pack_command(cast(Any, words)))

    async def call(self, *words: bytes | str | int) -> Any:
        """The answer of one command. Raises LinkLost, and hiredis.ReplyError as the server says."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.ask(words, lambda answer: None if future.done() else future.set_result(answer))
        answer = await future
        if isinstance(answer, Exception):
            raise answer
        return answer

    def give_up_waiting(self) -> None:
        """Tell all who wait that no answer came; answers that come all the same are for nobody."""
        waiting = self._waiting
        self._waiting = deque((asked_at, None) for asked_at, _ in waiting)
        for _, on_answer in waiting:
            if on_answer is not None:
                on_answer(LinkLost("no answer in time"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _pushed(self, answer: list[Any]) -> None:
        # a (un)subscription is answered by a push, and by nothing else
        if answer[0] in (b"subscribe", b"unsubscribe"):
            _, on_answer = self._waiting.popleft()
            if on_answer is not None:
                on_answer(True)
        elif self._on_push is not None:
            self._on_push(answer)


async def connect(
    address: Address, root: str, on_push: Callable[[list[Any]], None] | None = None
) -> Link:
    """A connection to the server that holds the keys of `root`. Raises LinkLost."""
    try:
        async with asyncio.timeout(CONNECT_S):
            return await _connect(await _locate(address, root), on_push)
    except (OSError, TimeoutError, hiredis.HiredisError, LinkLost, ValueError) as error:
        raise LinkLost(type(error).__name__) from error


async def _locate(address: Address, root: str) -> Address:
    if address.mode == "sentinel":
        return await _ask_sentinels(address)
    if address.mode == "cluster":
        return await _ask_cluster(address, slot_of(root))
    return address


async def _connect(
    address: Address, on_push: Callable[[list[Any]], None] | None, *, is_sentinel: bool = False
) -> Link:
    loop = asyncio.get_running_loop()
    link: Link
    if address.path:
        _, link = await loop.create_unix_connection(lambda: Link(on_push), address.path)
    else:
        _, link = await loop.create_connection(
            lambda: Link(on_push), address.host, address.port, ssl=address.tls()
        )
    try:
        hello: tuple[bytes | str | int, ...] = ("HELLO", 3)
        if address.password:
            hello += ("AUTH", address.user or "default", address.password.reveal())
        await link.call(*hello)
        if address.database and not is_sentinel and address.mode != "cluster":
            await link.call("SELECT", address.database)
    except BaseException:
        link.close()
        raise
    return link


async def _ask_sentinels(address: Address) -> Address:
    """The first Sentinel that knows the master (redis.io/docs, Sentinel clients)."""
    for host, port in address.sentinels:
        link = None
        with contextlib.suppress(OSError, hiredis.HiredisError, LinkLost):
            link = await _connect(address.at(host, port), None, is_sentinel=True)
            found = await link.call("SENTINEL", "get-master-addr-by-name", address.service)
            if found:
                return address.at(found[0].decode(), int(found[1]))
        if link is not None:
            link.close()
    raise LinkLost("no Sentinel knows the master")


async def _ask_cluster(address: Address, slot: int) -> Address:
    link = await _connect(address, None)
    try:
        for first, last, master, *_ in await link.call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                host = master[0].decode() if master[0] else address.host
                return address.at(host, int(master[1]))
    finally:
        link.close()
    raise LinkLost("no node serves the slot")
