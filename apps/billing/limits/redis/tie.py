"""One process's tie to Redis: connects, follows the epoch, notices silence, sends batches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import hiredis
import msgspec

from apps.billing.limits.redis.address import Address
from apps.billing.limits.redis.link import Link, LinkLost, connect
from apps.billing.limits.redis.script import (
    FAILED,
    SHA,
    SOURCE,
    decode,
    encode,
    news_channel,
    root_key,
)
from chatvault.lib import clock

logger = logging.getLogger(__name__)

BATCH: Final = 64
TURN_S: Final = 0.5
STALL_S: Final = 0.25
_LOOK_S: Final = 0.1
_WAIT_S: Final = 0.005
_HEAR_S: Final = 0.005
_SILENCE_S: Final = 2.0
_RESYNC_S: Final = 20.0
_DONE: Final = 0
Operation = tuple[Any, ...]
_Sent = tuple[Operation, "asyncio.Future[Any] | None", Any]  # and a note of who only told


class TieStats(msgspec.Struct):
    """For metrics. Times in seconds."""

    is_up: bool = False
    epoch: int = 0
    round_trip_s: float = 0.0  # of the latest batch
    losses: int = 0
    batches: int = 0
    operations: int = 0


class Tie:
    """`ask` and `tell` send operations of the script; those of one turn share a round trip.

    Made in the event loop that serves. `resync` is called with whether the epoch is a new one,
    before the tie counts as up, `joined` at the moment it does, `turn` twice a second from then on.
    """

    def __init__(
        self,
        *,
        address: Address,
        prefix: str,
        owner: str,
        lease_s: int,
        timeout_s: float,
        retry_s: float,
        resync: Callable[[bool], Awaitable[None]],
        joined: Callable[[], None],
        turn: Callable[[], Awaitable[None]],
        went_down: Callable[[], None],
        told_in_vain: Callable[[Any], None],
        on_news: Callable[[], None] | None = None,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        self.is_up = False
        self.stats = TieStats()
        self._address, self._root, self._owner = address, root_key(prefix), owner
        self._channel = news_channel(prefix)
        self._lease_us = lease_s * 1_000_000
        self._timeout_s, self._retry_s = timeout_s, retry_s
        self._resync, self._joined = resync, joined
        self._turn, self._went_down = turn, went_down
        self._on_news, self._now_us = on_news, now_us
        self._link: Link | None = None
        self._epoch = 0
        self._told_in_vain = told_in_vain
        self._loop = asyncio.get_running_loop()
        self._batch: list[_Sent] = []
        self._is_flush_due = self._is_late_flush_due = False
        self.came_up = asyncio.Event()  # once
        self._changed = asyncio.Event()
        self._has_told = False
        self._back = asyncio.Event()
        self._silent_since = 0.0
        self._watcher = 0
        self._is_watching = False

    async def run(self) -> None:
        """Stay tied for as long as the task lives."""
        while True:
            try:
                await self._hold()
            except (LinkLost, TimeoutError, hiredis.HiredisError) as error:
                if not self._has_told:
                    logger.warning("Redis cannot be used (%s); trying again.", error or "silent")
                self._has_told = True
            self._drop()
            await asyncio.sleep(self._retry_s)

    def close(self) -> None:
        self._drop()

    async def outlasts_stall(self) -> bool:
        """Whether a server that fell silent a moment ago answers again within a moment, as when a
        machine has too much to do. False at once for one that is away."""
        left_s = self._silent_since + STALL_S - clock.monotonic()
        if not self._silent_since or left_s <= 0:
            return False
        try:
            await asyncio.wait_for(self._back.wait(), left_s)
        except TimeoutError:
            return False
        return True

    def ask(self, *operation: Any) -> asyncio.Future[Any]:
        """The answer of one operation. Raises LinkLost: whether it was done is not known."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._batch.append((operation, future, None))
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return future

    def tell(self, operation: Operation, note: Any, *, can_wait: bool = False) -> None:
        """Send without waiting; `told_in_vain` gets the note if the answer does not come. What can
        wait shares the round trip of what cannot, for a few milliseconds."""
        self._batch.append((operation, None, note))
        if self._is_flush_due:
            return
        if not can_wait:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        elif not self._is_late_flush_due:
            self._is_late_flush_due = True
            self._loop.call_later(_WAIT_S, self._flush_late)

    def _flush_late(self) -> None:
        self._is_late_flush_due = False
        if self._batch and not self._is_flush_due:
            self._flush()

    def _flush(self) -> None:
        self._is_flush_due = False
        batch, self._batch = self._batch, []
        for start in range(0, len(batch), BATCH):
            part = batch[start : start + BATCH]
            link = self._link
            if link is None:
                self._fail(part)
                continue
            now_us = self._now_us() if self._now_us is not None else 0
            operations = [operation for operation, _, _ in part]
            blob = encode((self._epoch, now_us, self._owner, self._lease_us, operations))
            self.stats.batches += 1
            self.stats.operations += len(part)
            answered = partial(self._answered, part, clock.monotonic())
            link.ask(("EVALSHA", SHA, 1, self._root, blob), answered)
            if not self._is_watching:
                self._watch(link, self._watcher)

    def _answered(self, part: list[_Sent], asked_at: float, reply: Any) -> None:
        if isinstance(reply, Exception):
            if not isinstance(reply, LinkLost):
                logger.error("Redis refused a batch: %s", reply)
                self._lose()
            self._fail(part)
            return
        state, now_us, answers = decode(reply)
        if state != _DONE:
            self._bring_down()
            self._changed.set()
            self._fail(part)
            return
        self.stats.round_trip_s = clock.monotonic() - asked_at
        if self._now_us is None:
            self._follow_clock(now_us * 1000)
        for sent, answer in zip(part, answers, strict=True):
            if type(answer) is list and answer[0] == FAILED:
                logger.error("Redis refused an operation: %s", answer[1])
                self._lose()
                self._fail([sent])
                continue
            future = sent[1]
            if future is not None and not future.done():
                future.set_result(answer)

    def _fail(self, part: list[_Sent]) -> None:
        for _, future, note in part:
            if future is None:
                self._told_in_vain(note)
            elif not future.done():
                future.set_exception(LinkLost("no answer"))

    def _follow_clock(self, servers_ns: int) -> None:
        """Budgets turn at the same moment for all gateways: when the server's clock says so."""
        if clock.follow(servers_ns):
            off_s = clock.offset_ns() / clock.NANO
            logger.warning("this machine's clock is off by %.3f s: that of Redis counts", off_s)

    async def _hold(self) -> None:
        on_push = self._pushed if self._on_news is not None else None
        self._link = link = await connect(self._address, self._root, on_push)
        link.on_lost = self._lose
        self._changed.clear()
        async with asyncio.timeout(_SILENCE_S):
            run_id = await _prepare(link, self._channel if on_push else None)
        while link.is_open:
            await self._heard_again(link)
            async with asyncio.timeout(_SILENCE_S):
                epoch = await self._epoch_of(link, run_id)
            if epoch is None:
                await asyncio.sleep(_LOOK_S)
                continue
            async with asyncio.timeout(_RESYNC_S):
                await self._come_up(epoch)
            await self._stay_up(link)

    async def _heard_again(self, link: Link) -> None:
        """All that was asked is answered. Raises LinkLost when the server stays silent."""
        patience_ends = clock.monotonic() + _SILENCE_S
        while link.waiting_since:
            if clock.monotonic() > patience_ends or not link.is_open:
                raise LinkLost("the server is silent")
            await asyncio.sleep(_HEAR_S)

    async def _epoch_of(self, link: Link, run_id: bytes) -> int | None:
        """The number of the epoch that rules on this server; None: it has to be built first."""
        number, run = await link.call("HMGET", f"{self._root}:epoch", "n", "run")
        return int(number) if number is not None and run == run_id else None

    async def _come_up(self, epoch: int) -> None:
        is_new = epoch != self._epoch
        self._epoch = self.stats.epoch = epoch
        self._changed.clear()
        await self._resync(is_new)
        self.is_up = self.stats.is_up = True
        self._back.set()
        self._joined()
        self.came_up.set()
        self._has_told = False
        logger.info("limits are shared through Redis, epoch %d", epoch)

    async def _stay_up(self, link: Link) -> None:
        """Until another epoch rules. Raises LinkLost."""
        self._watcher += 1
        self._is_watching = False
        self._watch(link, self._watcher)
        while not self._changed.is_set():
            with contextlib.suppress(LinkLost, TimeoutError):  # what it means is found out below
                async with asyncio.timeout(_SILENCE_S):
                    await self._turn()
            try:
                await asyncio.wait_for(self._changed.wait(), TURN_S)
            except TimeoutError:
                continue
        if not link.is_open:
            raise LinkLost("the connection was lost")

    def _watch(self, link: Link, watcher: int) -> None:
        """Give up on a server that is silent; one more turn for what waits to be read. Where
        nothing is asked nobody watches."""
        if watcher != self._watcher or not self.is_up:
            return
        since = link.waiting_since
        self._is_watching = bool(since)
        if not since:
            return
        left_s = since + self._timeout_s - clock.monotonic()
        if left_s > 0:
            self._loop.call_later(left_s, self._watch, link, watcher)
        else:
            self._loop.call_later(0, self._judge, link, since, watcher)

    def _judge(self, link: Link, waiting_since: float, watcher: int) -> None:
        if link.waiting_since == waiting_since and link is self._link:
            logger.info("Redis is silent: going on without it until it answers")
            self._bring_down()
            self._silent_since = clock.monotonic()
            self._changed.set()
            link.give_up_waiting()
        else:
            self._watch(link, watcher)

    def _pushed(self, message: list[Any]) -> None:
        if self._on_news is not None:
            self._on_news()

    def _lose(self) -> None:
        self._changed.set()
        self._drop()

    def _bring_down(self) -> None:
        self._silent_since = 0.0
        self._back.clear()
        if self.is_up:
            self.is_up = self.stats.is_up = False
            self.stats.losses += 1
            self._went_down()

    def _drop(self) -> None:
        self._bring_down()
        link, self._link = self._link, None
        if link is not None:
            link.on_lost = None
            link.close()


async def _prepare(link: Link, channel: str | None) -> bytes:
    """The script is there, news are heard; returns which run of the server this is."""
    await link.call("SCRIPT", "LOAD", SOURCE)
    if channel is not None:
        await link.call("SUBSCRIBE", channel)
    return run_id_of(await link.call("INFO", "server"))


def run_id_of(info: Any) -> bytes:
    """What INFO calls run_id: another one after every start of the server."""
    text = info if isinstance(info, bytes) else str(info).encode()
    for line in text.splitlines():
        if line.startswith(b"run_id:"):
            return bytes(line[7:].strip())
    raise LinkLost("the server does not tell its run_id")
