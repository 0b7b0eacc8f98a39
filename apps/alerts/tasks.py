from __future__ import annotations

from datetime import timedelta
from typing import Final

from celery import shared_task
from django.conf import settings

from apps.alerts import delivery, watching
from apps.alerts.models import Alert
from apps.configuration import jobs
from apps.configuration.job_errors import JobProblem
from chatvault.lib import clock

_AT_ONCE: Final = 1000


@shared_task(acks_late=True)
def deliver() -> None:
    """Send the alerts that wait; found by query, so a lost message costs a beat."""
    delivery.deliver_due()


@shared_task(acks_late=True)
def watch() -> None:
    """Look for what is worth an alert, and send what that told; twice tells nothing twice."""
    failed = watching.look(clock.now())
    delivery.deliver_due()
    if failed:
        raise JobProblem(f"Not asked for alerts, because they failed: {', '.join(failed)}.")


@jobs.task("forget-alerts", unit="alerts")
def forget_alerts(job: jobs.Job) -> None:
    """Remove old alerts with their deliveries, but those that may be counted again: without them
    the same would be told a second time."""
    since = clock.now() - timedelta(days=settings.CHATVAULT.alerts.keep_days)
    old = Alert.objects.filter(last_at__lt=since).exclude(is_current=True, until=None)
    old = old.exclude(is_current=True, until__gt=clock.now()).order_by("pk")
    done = 0
    while found := list(old.values_list("pk", flat=True)[:_AT_ONCE]):
        Alert.objects.filter(pk__in=found).delete()
        done += len(found)
        job.progress(done)
