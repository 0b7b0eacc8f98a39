"""Verifies the books and keeps what was found; the timetable does it every night."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from django.db import connection, transaction

from apps.audit import trail
from apps.audit.models import AuditEvent
from apps.configuration import job_queue
from apps.configuration.models import JobRun
from apps.usage.models import LedgerCheck
from apps.usage.verify import verify
from chatvault.lib import clock

JOB: Final = "verify-ledger"
TASK: Final = "apps.usage.tasks.verify_ledger"
SUMS_JOB: Final = "recompute-sums"
_SUMS_TASK: Final = "apps.usage.tasks.recompute_sums"
COMPUTED_AGAIN: Final = 20_000
"""Of how many requests the nightly check computes the cost again; the command does it of all."""
_KEPT: Final = 1000
Progress = Callable[[int], None]


def run(*, progress: Progress = lambda done: None) -> LedgerCheck:
    """Verify everything at one instant, and keep the findings."""
    started_at = clock.now()
    with _told_beside(progress) as tell:
        findings = verify(formula=COMPUTED_AGAIN, progress=tell)
    differing = [finding for finding in findings if finding.differences]
    check = LedgerCheck.objects.create(
        started_at=started_at,
        finished_at=clock.now(),
        asked_by=_asked_by(),
        is_clean=not differing,
        checks=len(findings),
        differing=len(differing),
        differences=sum(finding.differences for finding in differing),
        findings=msgspec.to_builtins(findings),
    )
    _forget_old()
    return check


@transaction.atomic
def ask(asked_by: str) -> JobRun | None:
    """See that it is done as soon as a worker is free; None when it waits for one already."""
    trail.record("ledger.check_asked", after={"by": asked_by})
    return job_queue.enqueue(JOB, TASK)


@transaction.atomic
def ask_for_sums(asked_by: str) -> JobRun | None:
    """The same for computing all sums of hours anew from their rows."""
    trail.record("ledger.sums_asked", after={"by": asked_by})
    return job_queue.enqueue(SUMS_JOB, _SUMS_TASK)


def latest_run() -> JobRun | None:
    """The job that goes on or ended last."""
    return JobRun.objects.filter(name__in=(JOB, SUMS_JOB)).order_by("-pk").first()


def _asked_by() -> str:
    """Who pressed the button since the check before this one."""
    last = LedgerCheck.objects.order_by("-pk").values_list("started_at", flat=True).first()
    asked = AuditEvent.objects.filter(action="ledger.check_asked")
    if last is not None:
        asked = asked.filter(at__gt=last)
    found = asked.order_by("-id").values_list("actor", flat=True).first()
    return (found or "")[:150]


def _forget_old() -> None:
    old = LedgerCheck.objects.order_by("-pk").values_list("pk", flat=True)[_KEPT : _KEPT + 1]
    for pk in old:
        LedgerCheck.objects.filter(pk__lte=pk).delete()


@contextmanager
def _told_beside(progress: Progress) -> Iterator[Progress]:
    """The checks read in a transaction that cannot write: progress is told by another thread,
    which has a connection of its own. What it raises stops the checks at their next step."""
    if connection.in_atomic_block:  # the caller's transaction can write
        yield progress
        return
    told: list[Future[Any]] = []

    def tell(done: int) -> None:
        if told and told[-1].done():
            told[-1].result()
        told.append(threads.submit(progress, done))

    with ThreadPoolExecutor(1, thread_name_prefix="audit-progress") as threads:
        try:
            yield tell
        finally:
            threads.submit(connection.close)
    for future in told:
        future.result()
