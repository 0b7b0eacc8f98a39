from __future__ import annotations

from apps.billing import catalogue
from apps.configuration import jobs
from chatvault.lib import clock


@jobs.task("compare-catalogue", unit="price books")
def compare_catalogue(job: jobs.Job) -> None:
    """Note where the public catalogue differs from price books and deployments."""
    catalogue.look(clock.now(), job.progress)
