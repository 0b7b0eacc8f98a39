from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Final

from celery import shared_task
from django.conf import settings

from apps.audit import checkpoints
from apps.audit.models import AuditCheckpoint
from apps.configuration import announce, job_queue, jobs
from apps.configuration.job_errors import JobProblem
from apps.configuration.models import JobRun
from chatvault.lib import clock

_AT_ONCE: Final = 1000


@shared_task
def look_after_jobs() -> None:
    """Find runs whose worker died and messages that got lost; twice changes nothing."""
    job_queue.recover()


@jobs.task("forget-the-old", unit="kinds of rows")
def forget_the_old(job: jobs.Job) -> None:
    """Remove what nobody needs any more: by age, so that twice changes nothing."""
    sessions = import_module(settings.SESSION_ENGINE).SessionStore
    for number, forget in enumerate((announce.prune, sessions.clear_expired, _old_runs)):
        job.progress(number, 3)
        forget()
    job.progress(3, 3)


@jobs.task("verify-audit", unit="events")
def verify_audit(job: jobs.Job) -> None:
    """Fails when the audit trail is not what was written."""
    _judge(checkpoints.check_all(job.progress))


@jobs.task("verify-new-audit", unit="events")
def verify_new_audit(job: jobs.Job) -> None:
    """The same for what came since the last time, so that an hour is not waited for a day."""
    _judge(checkpoints.check_recent(job.progress))


def _judge(checked: AuditCheckpoint) -> None:
    if checked.findings:
        found = " ".join(checked.examples[:3])
        raise JobProblem(f"{checked.findings} found. {found} See `manage.py verify_audit`.")


def _old_runs() -> None:
    since = clock.now() - timedelta(days=settings.CHATVAULT.celery.keep_runs_days)
    old = JobRun.objects.filter(created_at__lt=since, finished_at__isnull=False).order_by("pk")
    while found := list(old.values_list("pk", flat=True)[:_AT_ONCE]):
        JobRun.objects.filter(pk__in=found).delete()
