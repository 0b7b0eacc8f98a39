from __future__ import annotations

from celery import shared_task

from apps.billing import catalogue, rollover
from apps.configuration import jobs
from chatvault.lib import clock


@jobs.task("compare-catalogue", unit="price books")
def compare_catalogue(job: jobs.Job) -> None:
    """Note where the public catalogue differs from price books and deployments."""
    catalogue.look(clock.now(), job.progress)


@shared_task(acks_late=True)
def roll_budgets_over() -> None:
    """Have gateways learn what was left; found by query, so a lost message costs a beat."""
    rollover.look(clock.now())
