from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Final

from celery import shared_task
from django.conf import settings

from apps.configuration import announce, job_queue, jobs
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


def _old_runs() -> None:
    since = clock.now() - timedelta(days=settings.CHATVAULT.celery.keep_runs_days)
    old = JobRun.objects.filter(created_at__lt=since, finished_at__isnull=False).order_by("pk")
    while found := list(old.values_list("pk", flat=True)[:_AT_ONCE]):
        JobRun.objects.filter(pk__in=found).delete()
