"""Ends a worker that has stopped taking jobs, so that its supervisor starts another one.

A worker whose broker dies between the end of a job and its acknowledgement can keep the place of
that job taken for good: it lives, answers signals and consumes nothing (celery#7276, #8030). From
outside it looks idle. Two things tell it apart: an acknowledgement has failed, or messages wait, a
place is free and none is taken.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from chatvault.lib import clock

if TYPE_CHECKING:
    from celery import Celery

STUCK: Final = os.EX_TEMPFAIL
"""The exit status of a worker that ended itself; a supervisor starts it again."""
EVERY_S: Final = 3
PATIENCE: Final = 4  # looks in a row that find the same
_LOOK_S: Final = 0.2

log = logging.getLogger(__name__)


class Watchdog:
    """Judges what it sees; `look` says whether the worker is stuck."""

    def __init__(
        self,
        waiting: Callable[[], int | None],
        taken: Callable[[], int],
        has_place: Callable[[], bool],
    ) -> None:
        self._waiting = waiting
        self._taken = taken
        self._has_place = has_place
        self._last_taken = -1
        self._strikes = 0

    def look(self) -> bool:
        taken, waiting = self._taken(), self._waiting()
        is_suspect = bool(waiting) and self._has_place() and taken == self._last_taken
        self._strikes = self._strikes + 1 if is_suspect else 0
        self._last_taken = taken
        return self._strikes >= PATIENCE


def start(app: Celery, places: int, grace_s: float) -> None:
    """Watch the worker of this process in a thread of its own, until the process ends."""
    from celery import signals
    from celery.worker import state

    from chatvault.acknowledged import failed, lost

    received = [0]

    def count(**_: Any) -> None:
        received[0] += 1

    signals.task_received.connect(count, weak=False)

    def waiting() -> int | None:
        begun = set(state.active_requests)  # those that were taken and lie here wait as well
        lying = [request for request in list(state.reserved_requests) if request not in begun]
        return len(lying) or waiting_in(app)

    dog = Watchdog(
        waiting=waiting,
        taken=lambda: received[0],
        has_place=lambda: len(state.active_requests) < places,
    )
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY_S):
            if failed.is_set() or dog.look():
                break
        why = "a job could not be acknowledged" if failed.is_set() else "jobs wait, none is taken"
        log.critical("%s: this worker ends, for another one to start", why)
        state.should_stop = STUCK  # type: ignore[assignment]
        until = clock.monotonic() + grace_s
        while clock.monotonic() < until and any(
            request.id not in lost for request in list(state.active_requests)
        ):
            ended.wait(_LOOK_S)  # what runs may end first
        os._exit(STUCK)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()


def waiting_in(app: Celery) -> int | None:
    """Messages that nobody has taken yet; None: the broker does not say."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=EVERY_S)
            channel: Any = connection.default_channel
            queue = channel.queue_declare(app.conf.task_default_queue, passive=True)
            return int(queue.message_count)
    except Exception:  # whatever a broker's client raises: who is away is nobody's fault here
        return None
