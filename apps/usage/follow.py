"""The loop of `manage.py ingest`, and the figures that it leaves for others to read.

Batches are shipped by a thread of low priority, so that on a busy core requests come before
their rows. When too much is waiting it is the main thread's turn, at full priority.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
from django.db import Error, connection

from apps.usage.ingest import BATCH_RECORDS, Ingester
from chatvault.lib import clock

log = logging.getLogger(__name__)

GATHER_S: Final = 0.1
_STATUS_S: Final = 1.0
_SILENT_S: Final = 5.0
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_LAST_RUN_S: Final = 10.0
_CALM_NICE: Final = 19
_URGENT_BYTES: Final = 128 * 2**20  # an eighth of the default cap


class IngestStatus(msgspec.Struct, frozen=True):
    """How ingest is doing. `at_s` is its heartbeat, about once a second while it works."""

    at_s: float
    unshipped_bytes: int
    shipped_requests: int  # since it was started
    failures: int  # tries that the database refused since it last worked
    failed_batches: int = 0  # since it was started
    worked_at_s: float = 0.0  # the last time that there was nothing to do, or that it was done
    delay_s: float = 0.0  # between a settlement and its row, the longest of the last batch

    def lag_s(self, now_s: float) -> float:
        """How late rows are now; while ingest does not get on it grows."""
        idle_s = max(now_s - self.worked_at_s, 0.0)
        return self.delay_s if idle_s < _SILENT_S else idle_s


def read_status(directory: Path) -> IngestStatus | None:
    """What ingest of this folder last said; None: it never ran."""
    try:
        return msgspec.json.decode(_status_path(directory).read_bytes(), type=IngestStatus)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


class Follower:
    """Ships until it is stopped; survives errors of the database."""

    def __init__(self, directory: Path, stop: threading.Event) -> None:
        self._directory = directory
        self._stop = stop
        self._ingester: Ingester | None = None
        self._shipped = 0
        self._failures = 0
        self._failed_batches = 0
        self._worked_at_s = clock.wall_s()
        self._delay_s = 0.0
        self._status_at = 0.0

    def run(self) -> None:
        """Until `stop` is set and what is there then is shipped (at most 10 s more)."""
        with ThreadPoolExecutor(1, "ingest", initializer=_be_calm) as calm:
            try:
                self._loop(calm)
            finally:
                calm.submit(_disconnect).result()
        self._tell(is_due=True)
        self._forget()

    def _loop(self, calm: ThreadPoolExecutor) -> None:
        deadline = float("inf")
        while clock.monotonic() < deadline:
            is_last_run = self._stop.is_set()
            try:
                if is_last_run or self._lag() > _URGENT_BYTES:
                    count = self._step()
                else:
                    count = calm.submit(self._step).result()
            except Error as error:
                self._recover(error)
                calm.submit(_disconnect).result()
                if is_last_run:
                    break
                self._stop.wait(_RETRY_S[min(self._failures, len(_RETRY_S)) - 1])
                continue
            self._failures = 0
            if is_last_run:
                deadline = min(deadline, clock.monotonic() + _LAST_RUN_S)
                if count < 0:
                    break
            elif count < BATCH_RECORDS // 2:
                self._stop.wait(GATHER_S)

    def run_once(self) -> int:
        """Ship all there is; returns how many requests were settled. Raises django.db.Error."""
        try:
            while self._step() >= 0:
                pass
            self._tell(is_due=True)
        finally:
            self._forget()
        return self._shipped

    def _step(self) -> int:
        if self._ingester is None:
            self._ingester = Ingester(self._directory)
            self._ingester.load()
        before = self._ingester.shipped
        count = self._ingester.step()
        self._shipped += self._ingester.shipped - before
        self._worked_at_s = clock.wall_s()
        self._delay_s = self._ingester.delay_s
        self._tell(is_due=False)
        return count

    def _recover(self, error: Error) -> None:
        """The outcome of a commit may be unknown: begin again from what is stored."""
        self._failures += 1
        self._failed_batches += 1
        level = logging.ERROR if self._failures in (1, 10) else logging.DEBUG
        reason = str(error).partition("\n")[0]
        log.log(level, "The database did not take a batch (%s); trying again.", reason)
        self._tell(is_due=False)
        self._forget()
        _disconnect()

    def _lag(self) -> int:
        return self._ingester.unshipped_bytes() if self._ingester is not None else 0

    def _forget(self) -> None:
        if self._ingester is not None:
            self._ingester.close()
            self._ingester = None

    def _tell(self, *, is_due: bool) -> None:
        now = clock.monotonic()
        if not is_due and now < self._status_at + _STATUS_S:
            return
        self._status_at = now
        status = IngestStatus(
            clock.wall_s(),
            self._lag(),
            self._shipped,
            self._failures,
            self._failed_batches,
            self._worked_at_s,
            self._delay_s,
        )
        path = _status_path(self._directory)
        temporary = path.with_suffix(".part")
        with contextlib.suppress(OSError):  # a full disk is a reason to ship, not to stop
            temporary.write_bytes(msgspec.json.encode(status))
            temporary.replace(path)


def _be_calm() -> None:
    """On Linux a priority belongs to a thread; elsewhere nothing changes."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _CALM_NICE)


def _disconnect() -> None:
    """Each thread has its own connection: this ends the caller's."""
    connection.close()


def _status_path(directory: Path) -> Path:
    return directory / "ingest.json"
