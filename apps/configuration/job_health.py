"""Which background jobs an operator has to look at."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from apps.configuration.models import JobRun
from chatvault.lib import clock

PATIENCE: Final = timedelta(minutes=5)
_ENDED: Final = (JobRun.State.DONE, JobRun.State.FAILED, JobRun.State.LOST)


def problems() -> list[str]:
    """A sentence for each job whose last run went wrong, and one when no worker takes any.
    Two queries."""
    ended = JobRun.objects.filter(state__in=_ENDED).latest_of_each()
    wrong = [row for row in ended.order_by("name") if row.state != JobRun.State.DONE]
    found = [_sentence(row) for row in wrong]
    late = JobRun.objects.filter(
        state=JobRun.State.QUEUED, created_at__lt=clock.now() - PATIENCE
    ).count()
    if late:
        what = "A job waits" if late == 1 else f"{late} jobs wait"
        found.append(f"{what} for a worker since more than 5 minutes.")
    return found


def _sentence(row: JobRun) -> str:
    if row.state == JobRun.State.LOST:
        return f"{row.name} was lost with its worker."
    told = row.error_message or row.error_class
    short = told if len(told) <= 200 else f"{told[:199]}…"
    return f"{row.name} failed: {short}"
