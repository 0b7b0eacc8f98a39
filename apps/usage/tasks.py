from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from celery import shared_task

from apps.configuration import jobs
from apps.configuration.job_errors import JobProblem
from apps.configuration.models import JobRun
from apps.usage import (
    day_sums,
    error_review,
    exports,
    partitions,
    retention,
    rollups,
    self_audit,
)
from chatvault.lib import clock

_HOUR: Final = timedelta(hours=1)
_RECENT: Final = timedelta(hours=2)
_MOST: Final = timedelta(days=7)


@jobs.task("roll-up-hour", unit="hours")
def roll_up_hour(job: jobs.Job, hour: str) -> None:
    """Recompute one hour of usage; running it twice changes nothing."""
    start = datetime.fromisoformat(hour)
    rollups.recompute(start, start + _HOUR)
    job.progress(1, 1)


@jobs.task("roll-up-recent-hours", unit="hours")
def roll_up_recent_hours(job: jobs.Job) -> None:
    """Recompute the hours that closed since the last run: what was late or lost is put right."""
    end = datetime.fromtimestamp(clock.wall_s(), UTC).replace(minute=0, second=0, microsecond=0)
    hour = max(_caught_up(job.row) - _RECENT, end - _MOST)
    hour = min(hour.replace(minute=0, second=0, microsecond=0), end - _RECENT)
    total = (end - hour) // _HOUR
    for number in range(total):
        job.progress(number, total)
        rollups.recompute(hour + number * _HOUR, hour + (number + 1) * _HOUR)
    job.progress(total, total)


@jobs.task("keep-partitions", unit="partitions")
def keep_partitions(job: jobs.Job) -> None:
    """Make the partitions of the days ahead; does nothing where there are none."""
    partitions.ensure(progress=job.progress)


@jobs.task("apply-retention", unit="steps")
def apply_retention(job: jobs.Job) -> None:
    """Remove the requests and attempts that the settings no longer keep."""
    retention.apply(progress=job.progress)


@jobs.task("verify-ledger", unit="checks")
def verify_ledger(job: jobs.Job) -> None:
    """Keeps what it found. Fails when requests, ledger, hourly sums and budgets do not tell the
    same story."""
    check = self_audit.run(progress=job.progress)
    wrong = [
        f"{each['name']}: {each['differences']}" for each in check.findings if each["differences"]
    ]
    if wrong:
        raise JobProblem(
            f"Differences found. {'; '.join(wrong)}. The page Self-audit shows examples."
        )


@shared_task(acks_late=True)
def review_errors() -> None:
    """Open errors again that came back, and note what works again; twice changes nothing."""
    error_review.review()


def _caught_up(row: JobRun) -> datetime:
    """When the last run that ended well began: everything before it is right."""
    done = JobRun.objects.filter(name=row.name, state=JobRun.State.DONE).order_by("-pk")
    began = done.values_list("started_at", flat=True).first()
    return began if began is not None else clock.now() - _MOST


@jobs.task("recompute-sums", unit="hours")
def recompute_sums(job: jobs.Job) -> None:
    """Compute the sums of every hour that still has its rows anew; twice changes nothing."""
    rollups.recompute_all(progress=job.progress)


@jobs.task("sum-up-days", unit="days")
def sum_up_days(job: jobs.Job) -> None:
    """Sum up the days that are over, for reports of long spans; twice changes nothing."""
    day_sums.sum_up(progress=job.progress)


@jobs.task("make-export", unit="days")
def make_export(job: jobs.Job, export: int) -> None:
    """Make the file of an export; goes on where another run stopped."""
    exports.make(export, progress=job.progress)


@shared_task(acks_late=True)
def tend_exports() -> None:
    """Go on with unfinished exports, and remove those that are kept no longer."""
    exports.tend()
