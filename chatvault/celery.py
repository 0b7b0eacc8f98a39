"""The queue of background work. JSON only; tasks are idempotent and found by query."""

import os
from contextlib import ExitStack
from typing import Any, Final

from celery import Celery
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
)

from chatvault import process
from chatvault.lib import correlation

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

app = Celery("chatvault")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.Task.Request = "chatvault.acknowledged:TellingRequest"

_CONTEXT: Final = "chatvault_context"


@setup_logging.connect
def leave_the_log_alone(**_: Any) -> None:
    """Who listens to this tells Celery that the log is set up: by Django's settings."""


@worker_init.connect
@worker_process_init.connect
def begin(**_: Any) -> None:
    """A worker of the supervisor has begun already; one started by hand, and each child of
    either, has not."""
    process.begin("worker")


@worker_process_shutdown.connect
@worker_shutdown.connect
def end(**_: Any) -> None:
    process.end()


@before_task_publish.connect
def pass_correlation_on(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """A task is told which request caused it; other headers are left as they are."""
    if headers is not None and (found := correlation.current()):
        headers.setdefault(correlation.HEADER, found)


@task_prerun.connect
def take_correlation_up(task: Any = None, task_id: str = "", **_: Any) -> None:
    context = ExitStack()
    found = getattr(task.request, correlation.HEADER, None) or task_id
    context.enter_context(correlation.within(found))
    setattr(task.request, _CONTEXT, context)


@task_postrun.connect
def lay_correlation_down(task: Any = None, **_: Any) -> None:
    context = getattr(task.request, _CONTEXT, None)
    if context is not None:
        context.close()


@worker_ready.connect
def look_after_jobs(sender: Any = None, **_: Any) -> None:
    """What a worker before this one was killed in is found at once."""
    app.send_task("apps.configuration.tasks.look_after_jobs", retry=False)
