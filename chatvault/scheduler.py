"""The beat: one at a time, however many are started."""

from __future__ import annotations

import copy
import fcntl
import os
from pathlib import Path
from typing import Any, Final, Protocol

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from django_celery_beat.schedulers import DatabaseScheduler

from apps.configuration import job_queue, timetable
from chatvault.beat import TIMETABLE
from chatvault.progress import say

_LOCK_KEY: Final = 0x63_76_62_74
LOOK_EVERY_S: Final = 5.0


class Claim(Protocol):
    """The right to be the one beat."""

    def hold(self) -> bool:
        """Take it, or make sure that it is still held."""
        ...


class FileClaim:
    """Beats of one state folder: the kernel frees the lock of a process that died."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def hold(self) -> bool:
        if self._descriptor >= 0:
            return True
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True


class PostgresClaim:
    """Beats of one database: an advisory lock of a connection that does nothing else, which
    PostgreSQL frees when the connection ends."""

    def __init__(self) -> None:
        self._connection: Any = None

    def hold(self) -> bool:
        try:
            if self._connection is not None:
                with self._connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                return True
            return self._take()
        except DatabaseError:
            self.release()
            return False

    def _take(self) -> bool:
        self._connection = _own_connection()
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK_KEY])
            if cursor.fetchone()[0]:
                return True
        self.release()
        return False

    def release(self) -> None:
        """Let others have it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except DatabaseError:  # it is gone already
                connection.connection = None


def _own_connection() -> Any:
    """A connection to the default database outside of its pool."""
    found = connections["default"].copy()
    found.settings_dict = copy.deepcopy(found.settings_dict)
    found.settings_dict.get("OPTIONS", {}).pop("pool", None)
    return found


def make_claim() -> Claim:
    if connections["default"].vendor == "postgresql":
        return PostgresClaim()
    return FileClaim(settings.CHATVAULT.home / "beat" / "lock")


class OneBeat(DatabaseScheduler):
    """Puts what is due into the queue while it holds the claim, and waits for the claim else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._claim = make_claim()
        self._is_active = False
        super().__init__(*args, **{**kwargs, "max_interval": LOOK_EVERY_S})

    def setup_schedule(self) -> None:
        """Nothing yet: the one that is active brings the file into the database."""

    def enabled_models_qs(self) -> Any:
        """All of them: what was due while no beat ran is due now."""
        return self.Model.objects.enabled()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Seconds until it wants to be asked again."""
        try:
            return self._tick(*args, **kwargs)
        except DatabaseError as error:
            say(f"the timetable cannot be read ({type(error).__name__}); trying again")
            self._is_active = False
            close_old_connections()
            return LOOK_EVERY_S

    def apply_async(
        self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> None:
        """A row that waits for a worker, then a message: should that be lost, the row is found."""
        job = TIMETABLE.get(entry.name)
        if job is None or not job.is_recorded:
            super().apply_async(entry, producer=producer, advance=advance, **kwargs)
            return
        try:
            job_queue.enqueue(entry.name, entry.task)
        except DatabaseError:
            self._is_active = False  # read again what is due: nothing was kept of this
            raise
        if advance:
            self.reserve(entry)
        self._do_sync()

    def sync(self) -> None:
        if self._is_active:
            super().sync()

    def _tick(self, *args: Any, **kwargs: Any) -> float:
        was_active, self._is_active = self._is_active, self._claim.hold()
        if not self._is_active:
            if was_active:
                say("this beat lost its claim and waits")
            return LOOK_EVERY_S
        if not was_active:
            timetable.sync(TIMETABLE)
            self._dirty.clear()
            self._initial_read = True  # others may have sent tasks while this one waited
            self._schedule, self._heap = None, None
        return min(float(super().tick(*args, **kwargs)), LOOK_EVERY_S)
