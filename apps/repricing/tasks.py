from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta

from apps.billing.models import LedgerEntry
from apps.configuration import jobs
from apps.configuration.job_errors import JobProblem, NothingToDo
from apps.repricing import booking, dry_run, volume
from apps.repricing.errors import RepricingRefused
from apps.repricing.models import Repricing
from chatvault.lib import clock

State = Repricing.State


@jobs.task("check-repricing", unit="requests")
def check(job: jobs.Job, repricing_id: int) -> None:
    """The dry run of a repricing; again, it starts anew."""
    with _one(repricing_id, State.CHECKING) as repricing:
        dry_run.run(repricing, job.progress)


@jobs.task("book-repricing", unit="requests")
def book(job: jobs.Job, repricing_id: int) -> None:
    """Book an approved repricing; again, it goes on where it was stopped."""
    with _one(repricing_id, State.APPROVED) as repricing:
        booking.book(repricing, job.progress)


@jobs.task("undo-repricing", unit="requests")
def undo(job: jobs.Job, repricing_id: int) -> None:
    """Book the opposite of a repricing; again, it goes on where it was stopped."""
    with _one(repricing_id, State.UNDOING) as repricing:
        booking.undo(repricing, job.progress)


@jobs.task("book-volume-rebates", unit="clients")
def book_volume_rebates(job: jobs.Job) -> None:
    """Book what the volume of the last two whole months gives back; again, it books only what
    has changed."""
    this, _ = volume.bounds_of(clock.now().astimezone(UTC))
    last, _ = volume.bounds_of(this - timedelta(days=1))
    before, _ = volume.bounds_of(last - timedelta(days=1))
    for month in (before, last):
        volume.book_month(month, job.progress)


@contextmanager
def _one(repricing_id: int, state: State) -> Iterator[Repricing]:
    """The repricing, if this is its turn; what keeps the job from its end is kept with it."""
    repricing = Repricing.objects.filter(pk=repricing_id, state=state).first()
    if repricing is None:
        raise NothingToDo(f"repricing {repricing_id} is not at this step any more")
    try:
        yield repricing
    except (RepricingRefused, ValueError, LedgerEntry.DoesNotExist) as problem:
        Repricing.objects.filter(pk=repricing_id).update(trouble=str(problem)[:500])
        raise JobProblem(str(problem)) from problem
