"""Background jobs that can be seen: each run is a row with its progress and how it ended.

A job is declared with `@jobs.task(name)` and given the run to tell its progress to; `run` is the
same as a context. At most one run of a job with the same arguments runs at a time, which the
database holds: a message that is delivered twice, or sent by two beats, has no effect.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import wraps
from typing import Any, Final

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction

from apps.configuration import workers
from apps.configuration.job_errors import (
    JobOverdue,
    JobTakenAway,
    NothingToDo,
    told,
)
from apps.configuration.models import JobRun
from chatvault.lib import clock, correlation, failpoints

RUN_HEADER: Final = "chatvault_run"
HEARTBEAT_S: Final = 10.0
SILENCE: Final = timedelta(seconds=60)
MOST_ATTEMPTS: Final = 5
_SHOW_EVERY_S: Final = 1.0
_logger = logging.getLogger(__name__)


class Job:
    """What a running job tells of itself."""

    def __init__(self, row: JobRun, *, limit_s: float) -> None:
        self.row = row
        self._deadline = clock.monotonic() + limit_s
        self._shown_at = 0.0

    def progress(self, done: int, total: int | None = None, unit: str = "") -> None:
        """So much is done. Call it between steps: here a job learns that it has to stop.

        Raises JobOverdue after its time, JobTakenAway when another worker does the job by now.
        """
        row, now = self.row, clock.monotonic()
        if failpoints.ARMED:
            failpoints.reach("job-step")
        if now > self._deadline:
            raise JobOverdue
        row.done, row.unit = done, unit or row.unit
        row.total = row.total if total is None else total
        if now - self._shown_at < _SHOW_EVERY_S and done != row.total:
            return
        self._shown_at = now
        values = {"done": row.done, "total": row.total, "unit": row.unit}
        if not _still_ours(row).update(heartbeat_at=clock.now(), **values):
            raise JobTakenAway


def task(
    name: str, *, unit: str = "", is_resumable: bool = True
) -> Callable[[Callable[..., None]], Any]:
    """Makes a function of a Job and of small JSON values the task of the job `name`."""

    def declare(function: Callable[..., None]) -> Any:
        path = f"{function.__module__}.{function.__name__}"

        @wraps(function)
        def perform(message: Any, **arguments: Any) -> None:
            waiting = getattr(message.request, RUN_HEADER, None)
            declared: dict[str, Any] = {"task": path, "unit": unit, "is_resumable": is_resumable}
            try:
                with run(name, waiting=waiting, **declared, **arguments) as job:
                    function(job, **arguments)
            except NothingToDo as reason:
                _logger.info("%s: %s", name, reason)

        made: Any = shared_task(name=path, bind=True, typing=False)
        return made(perform)

    return declare


@contextmanager
def run(
    name: str,
    *,
    task: str = "",
    unit: str = "",
    is_resumable: bool = True,
    waiting: int | None = None,
    **arguments: Any,
) -> Iterator[Job]:
    """A run from its row's beginning to its end. What the body raises is kept and raised on.

    `waiting` is the row that a message was sent for: it is done once, however often the message
    comes. Raises NothingToDo, before anything is done, when it was done, while another run goes
    on, or after too many workers died of it.
    """
    if waiting is not None:
        _refuse_repetition(waiting)
    row = _begin(name, task, arguments, unit=unit, is_resumable=is_resumable)
    if failpoints.ARMED:
        failpoints.reach("job-begun")
    try:
        with _pulse(row):
            yield Job(row, limit_s=settings.CHATVAULT.celery.time_limit_s)
    except BaseException as error:  # the row tells of any end; it is raised on
        _end(row, JobRun.State.FAILED, error)
        raise
    if failpoints.ARMED:
        failpoints.reach("job-done")
    _end(row, JobRun.State.DONE)


def key_of(arguments: dict[str, Any]) -> str:
    """Tells runs of one job with different arguments apart."""
    if not arguments:
        return ""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()


def _refuse_repetition(waiting: int) -> None:
    row = JobRun.objects.filter(pk=waiting).first()
    if row is None or row.state == JobRun.State.QUEUED:
        return
    if row.state in (JobRun.State.RUNNING, JobRun.State.LOST):
        # a broker hands the message of a dead worker out again: then it is done anew
        running = JobRun.objects.of(row.name, row.key).filter(state=JobRun.State.RUNNING).first()
        if running is not None and mark_if_lost(running):
            return
    raise NothingToDo(f"its run {waiting} is {row.get_state_display().lower()}")


def _begin(name: str, task: str, arguments: dict[str, Any], **declared: Any) -> JobRun:
    """The waiting run if there is one, else a new one."""
    key, now = key_of(arguments), clock.now()
    before = JobRun.objects.of(name, key)
    for row in before.filter(state=JobRun.State.RUNNING):
        if not mark_if_lost(row):
            raise NothingToDo("another run goes on")
    started = {
        "state": JobRun.State.RUNNING,
        "attempt": _attempt(before),
        "started_at": now,
        "heartbeat_at": now,
        "worker": workers.identity(),
        **declared,
    }
    correlated = {"correlation_id": found} if (found := correlation.current()) else {}
    try:
        with transaction.atomic():
            waiting = before.filter(state=JobRun.State.QUEUED).first()
            if waiting is not None and waiting.correlation_id:
                correlated = {}
            if waiting is not None and _claim(waiting, started | correlated):
                row = waiting
            else:
                row = JobRun.objects.create(
                    name=name, task=task, arguments=arguments, key=key, **started, **correlated
                )
    except IntegrityError:  # somebody else was quicker
        raise NothingToDo("another run goes on") from None
    if row.attempt > MOST_ATTEMPTS:
        reason = NothingToDo(f"{MOST_ATTEMPTS} workers died of it; it is given up until it is due")
        _end(row, JobRun.State.FAILED, reason)
        raise reason
    return row


def _claim(row: JobRun, started: dict[str, Any]) -> bool:
    if not JobRun.objects.filter(pk=row.pk, state=JobRun.State.QUEUED).update(**started):
        return False
    for name, value in started.items():
        setattr(row, name, value)
    return True


def _attempt(before: Any) -> int:
    last = before.exclude(state=JobRun.State.QUEUED).order_by("-pk").first()
    return last.attempt + 1 if last is not None and last.state == JobRun.State.LOST else 1


def mark_if_lost(row: JobRun) -> bool:
    """Whether a running run's worker is gone; then the row says so from now on."""
    now = clock.now()
    is_silent = row.heartbeat_at is None or row.heartbeat_at < now - SILENCE
    if not is_silent and not workers.is_known_dead(row.worker):
        return False
    seen = JobRun.objects.filter(
        pk=row.pk, state=JobRun.State.RUNNING, heartbeat_at=row.heartbeat_at
    )
    return bool(
        seen.update(
            state=JobRun.State.LOST,
            finished_at=now,
            error_class="WorkerLost",
            error_message="The worker was killed or gave no sign of life for a minute.",
        )
    )


def _end(row: JobRun, state: JobRun.State, error: BaseException | None = None) -> None:
    row.state, row.finished_at = state, clock.now()
    if error is not None:
        row.error_class, row.error_message = told(error)
    names = ["state", "finished_at", "done", "total", "unit", "error_class", "error_message"]
    values = {name: getattr(row, name) for name in names}
    try:
        _still_ours(row).update(**values)
    except DatabaseError:
        if error is None:
            raise
        _logger.warning("How %s ended cannot be kept: the database does not answer.", row.name)


def _still_ours(row: JobRun) -> Any:
    return JobRun.objects.filter(pk=row.pk, state=JobRun.State.RUNNING)


@contextmanager
def _pulse(row: JobRun) -> Iterator[None]:
    """Says that the worker lives for as long as the body runs."""
    stop = threading.Event()
    thread = threading.Thread(target=_beat, args=(row, stop), name=f"pulse-{row.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()


def _beat(row: JobRun, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_S):
        with suppress(DatabaseError):  # it is tried again; others wait longer than this
            _still_ours(row).update(heartbeat_at=clock.now())
    connection.close()
