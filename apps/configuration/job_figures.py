"""How background jobs fare, for Prometheus."""

from __future__ import annotations

from typing import Final

from django.db.models import Count, Max, Min

from apps.configuration.models import JobRun
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, Row, Values, single

LEDGER_CHECK: Final = "verify-ledger"

SUCCEEDED: Final = Family(
    "chatvault_job_last_success_timestamp_seconds",
    "gauge",
    "When a job last ended well, in seconds since 1970.",
    ("name",),
)
FAILED: Final = Family(
    "chatvault_job_last_run_failed",
    "gauge",
    "1 when the last run of a job that ended went wrong or was lost with its worker.",
    ("name",),
)
TOOK: Final = Family(
    "chatvault_job_last_duration_seconds", "gauge", "How long that run took.", ("name",)
)
RUNS: Final = Family(
    "chatvault_job_runs", "gauge", "Runs of jobs that wait or go on now.", ("state",)
)
OLDEST: Final = Family(
    "chatvault_job_oldest_queued_age_seconds",
    "gauge",
    "How long the oldest run has waited for a worker; 0 without any.",
)
LEDGER_FAILED: Final = Family(
    "chatvault_ledger_check_failed",
    "gauge",
    "1 when the last check of the ledger found a difference or did not end.",
)
LEDGER_AT: Final = Family(
    "chatvault_ledger_check_timestamp_seconds",
    "gauge",
    "When the last check of the ledger ended, in seconds since 1970.",
)

FAMILIES: Final = (SUCCEEDED, FAILED, TOOK, RUNS, OLDEST, LEDGER_FAILED, LEDGER_AT)

_ENDED: Final = (JobRun.State.DONE, JobRun.State.FAILED, JobRun.State.LOST)
_OPEN: Final = (JobRun.State.QUEUED, JobRun.State.RUNNING)


def read_jobs() -> Figures:
    """In three queries. Names of jobs are those of the timetable and few."""
    yield from _last_runs()
    done = JobRun.objects.order_by().filter(state=JobRun.State.DONE)
    newest = done.values_list("name").annotate(at=Max("finished_at"))
    yield SUCCEEDED, {(name,): (at.timestamp(),) for name, at in newest if at}
    now = clock.now()
    open_runs = JobRun.objects.order_by().filter(state__in=_OPEN)
    waiting = {
        state: (count, oldest)
        for state, count, oldest in open_runs.values_list("state").annotate(
            Count("pk"), Min("created_at")
        )
    }
    rows: dict[Values, Row] = {
        (state.value,): (waiting.get(state.value, (0, now))[0],) for state in _OPEN
    }
    yield RUNS, rows
    oldest = waiting.get(JobRun.State.QUEUED.value, (0, now))[1]
    yield OLDEST, single(max((now - oldest).total_seconds(), 0.0))


def _last_runs() -> Figures:
    rows = list(JobRun.objects.filter(state__in=_ENDED).latest_of_each())
    failed: dict[Values, Row] = {(r.name,): (int(r.state != JobRun.State.DONE),) for r in rows}
    yield FAILED, failed
    yield TOOK, {(r.name,): (r.took.total_seconds(),) for r in rows if r.took}
    for row in rows:
        if row.name == LEDGER_CHECK and row.finished_at is not None:
            yield LEDGER_FAILED, single(failed[(row.name,)][0])
            yield LEDGER_AT, single(row.finished_at.timestamp())
