from __future__ import annotations

from apps.configuration import jobs
from apps.providers import health


@jobs.task("probe-deployments", unit="deployments")
def probe_deployments(job: jobs.Job) -> None:
    """Ask every active deployment's provider whether it answers."""
    health.look(job.progress)
