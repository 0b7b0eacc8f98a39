"""Jobs that wait: how they come into the queue, and how those that fell out of it are found."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from apps.configuration import jobs
from apps.configuration.models import JobRun
from chatvault.lib import clock, correlation

RESEND_AFTER: Final = timedelta(seconds=60)
_EXPIRES_S: Final = 2 * RESEND_AFTER.seconds  # by then another one has been sent
_logger = logging.getLogger(__name__)


def enqueue(name: str, task: str, arguments: dict[str, Any] | None = None) -> JobRun | None:
    """A run that waits for a worker; None when one waits already.

    The message goes out after the commit. Should it be lost, `recover` sends another.
    """
    known = arguments or {}
    try:
        with transaction.atomic():
            row = JobRun.objects.create(
                name=name,
                task=task,
                arguments=known,
                key=jobs.key_of(known),
                sent_at=clock.now(),
                correlation_id=correlation.current(),
            )
    except IntegrityError:
        return None
    transaction.on_commit(lambda: send(row))
    return row


def send(row: JobRun) -> bool:
    """One message for the row's job; False when the broker cannot be reached."""
    headers: dict[str, Any] = {jobs.RUN_HEADER: row.pk}
    if row.correlation_id:
        headers[correlation.HEADER] = row.correlation_id
    return send_task(row.task, row.arguments, headers, expires_s=_EXPIRES_S)


def send_task(
    task: str,
    arguments: dict[str, Any] | None = None,
    headers: dict[str, Any] | None = None,
    *,
    expires_s: int,
) -> bool:
    """One message; False when the broker cannot be reached."""
    try:
        _application().send_task(
            task,
            kwargs=arguments or {},
            headers=headers or {},
            expires=expires_s,
            retry=True,  # a connection that the broker closed meanwhile is only noticed now
            retry_policy={"max_retries": 1, "interval_start": 0.1},
        )
    except (OperationalError, OSError):
        _logger.warning("The broker cannot be reached; %s waits for the next look.", task)
        return False
    return True


def recover() -> dict[str, int]:
    """Mark runs whose worker is gone, start those again that can be resumed, and send messages
    again for those that waited too long. Doing it twice changes nothing."""
    lost = [
        row for row in JobRun.objects.filter(state=JobRun.State.RUNNING) if jobs.mark_if_lost(row)
    ]
    resumed = sum(_resume(row) for row in lost)
    late = JobRun.objects.filter(state=JobRun.State.QUEUED, sent_at__lt=clock.now() - RESEND_AFTER)
    sent_again = 0
    for row in late:
        unchanged = JobRun.objects.filter(pk=row.pk, state=row.state, sent_at=row.sent_at)
        if unchanged.update(sent_at=clock.now()):
            sent_again += send(row)
    return {"lost": len(lost), "resumed": resumed, "sent_again": sent_again}


def _resume(row: JobRun) -> bool:
    if not (row.is_resumable and row.task) or row.attempt > jobs.MOST_ATTEMPTS:
        return False
    with correlation.within(row.correlation_id):
        return enqueue(row.name, row.task, row.arguments) is not None


@cache
def _application() -> Any:
    """The project's Celery; loaded by who sends, not by who answers requests."""
    return import_string(settings.JOBS_APPLICATION)
