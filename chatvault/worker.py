"""The worker: runs what is in the queue until it is told to stop."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable


def work(ready: Callable[[], None]) -> int:
    """Returns the exit status after an orderly stop: running tasks have ended by then."""
    from celery import platforms
    from django.conf import settings

    from chatvault import watchdog
    from chatvault.celery import app

    warnings.simplefilter("ignore", platforms.SecurityWarning)  # type: ignore[attr-defined]
    # who serves is the operator's decision
    worker = app.Worker(
        pool_cls=app.conf.worker_pool,
        concurrency=app.conf.worker_concurrency,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        hostname=f"chatvault@{socket.gethostname()}",
        quiet=True,
    )
    watchdog.start(app, app.conf.worker_concurrency, settings.CHATVAULT.celery.grace_s)
    ready()
    worker.start()
    return int(worker.exitcode or 0)


def keep_time(ready: Callable[[], None]) -> None:
    """The beat: puts what is due into the queue."""
    from chatvault.celery import app

    ready()
    app.Beat(
        scheduler_cls=app.conf.beat_scheduler, pidfile=None, quiet=True, loglevel="WARNING"
    ).run()
