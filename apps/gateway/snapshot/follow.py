"""Following the control plane: new snapshots are adopted, changed keys are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from apps.gateway.plane import DataPlane, View
from apps.gateway.snapshot.model import Snapshot
from chatvault.lib import clock

logger = logging.getLogger(__name__)

KEY_TOPIC = "accounts.key"
HOLDER_TOPIC = "accounts.holder"


class News(Protocol):
    @property
    def topic(self) -> str: ...
    @property
    def subject(self) -> str: ...


class Source(Protocol):
    """The control plane as a gateway sees it. May raise anything when it cannot be asked."""

    async def since(self, last_id: int) -> tuple[int, Sequence[News]]: ...
    async def snapshot(self) -> Snapshot: ...


class SnapshotRefused(Exception):
    """What serves well would not serve by it: the last good one goes on."""


class Follower:
    """Asks every `interval_s`. A source that fails changes nothing: the last good view serves."""

    def __init__(
        self,
        plane: DataPlane,
        source: Source,
        *,
        last_id: int,
        interval_s: float,
        make_view: Callable[[Snapshot], View],
        adopted: Callable[[Snapshot], Awaitable[None]],
    ) -> None:
        self._plane = plane
        self._source = source
        self._last_id = last_id
        self._interval_s = interval_s
        self._make_view = make_view
        self._adopted = adopted
        self._is_failing = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now: there is something new."""
        self._woken.set()

    async def run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), self._interval_s)
            self._woken.clear()
            try:
                await self.look()
            except Exception as error:  # a database that is away must not end the following
                if not self._is_failing:
                    logger.warning("configuration cannot be followed: %s", _told(error))
                self._is_failing = True
            else:
                if self._is_failing:
                    self._plane.keys.expire()
                self._is_failing = False

    async def look(self) -> None:
        """Take in what was announced since the last look."""
        last_id, news = await self._source.since(self._last_id)
        is_changed = False
        for item in news:
            if item.topic == KEY_TOPIC:
                self._plane.keys.drop(item.subject)
            elif item.topic == HOLDER_TOPIC:
                self._plane.keys.drop_holder(item.subject)
            else:
                is_changed = True
        if is_changed:
            snapshot = await self._source.snapshot()
            if broken := snapshot.unusable & self._plane.view.snapshot.deployments.keys():
                raise SnapshotRefused(f"{len(broken)} deployments that serve make no sense in it")
            await self._adopted(snapshot)
            self._plane.adopt(self._make_view(snapshot))
            self._plane.keys.expire()  # what keys say of aliases and teams may have changed
            logger.info("serving revision %d", snapshot.version)
        self._last_id = last_id
        self._plane.followed_at = clock.monotonic()


def _told(error: Exception) -> str:
    """Errors of ours are sentences; those of others may name what nobody should read."""
    return str(error) if isinstance(error, SnapshotRefused) else type(error).__name__
