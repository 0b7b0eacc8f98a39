"""The loop of `manage.py ingest`, and the figures that it leaves for others to read."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

import msgspec
from django.db import Error, connection

from apps.usage.ingest import BATCH_RECORDS, Ingester
from chatvault.lib import clock

log = logging.getLogger(__name__)

GATHER_S: Final = 0.1
_STATUS_S: Final = 1.0
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_LAST_RUN_S: Final = 10.0


class IngestStatus(msgspec.Struct, frozen=True):
    """How ingest is doing. `at_s` is its heartbeat, about once a second while it works."""

    at_s: float
    unshipped_bytes: int
    shipped_requests: int  # since it was started
    failures: int  # tries that the database refused since it last worked


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
        self._status_at = 0.0

    def run(self) -> None:
        """Until `stop` is set and what is there then is shipped (at most 10 s more)."""
        deadline = float("inf")
        while clock.monotonic() < deadline:
            try:
                count = self._step()
            except Error as error:
                self._recover(error)
                if self._stop.is_set():
                    break
                self._stop.wait(_RETRY_S[min(self._failures, len(_RETRY_S)) - 1])
                continue
            self._failures = 0
            if self._stop.is_set():
                deadline = min(deadline, clock.monotonic() + _LAST_RUN_S)
                if count < 0:
                    break
            elif count < BATCH_RECORDS // 2:
                self._stop.wait(GATHER_S)
        self._tell(is_due=True)
        self._forget()

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
        self._tell(is_due=False)
        return count

    def _recover(self, error: Error) -> None:
        """The outcome of a commit may be unknown: begin again from what is stored."""
        self._failures += 1
        level = logging.ERROR if self._failures in (1, 10) else logging.DEBUG
        log.log(
            level, "The database did not take a batch (%s); trying again.", type(error).__name__
        )
        self._tell(is_due=False)
        self._forget()
        connection.close()

    def _forget(self) -> None:
        if self._ingester is not None:
            self._ingester.close()
            self._ingester = None

    def _tell(self, *, is_due: bool) -> None:
        now = clock.monotonic()
        if not is_due and now < self._status_at + _STATUS_S:
            return
        self._status_at = now
        lag = self._ingester.unshipped_bytes() if self._ingester else 0
        status = IngestStatus(clock.wall_s(), lag, self._shipped, self._failures)
        path = _status_path(self._directory)
        temporary = path.with_suffix(".part")
        temporary.write_bytes(msgspec.json.encode(status))
        temporary.replace(path)


def _status_path(directory: Path) -> Path:
    return directory / "ingest.json"
