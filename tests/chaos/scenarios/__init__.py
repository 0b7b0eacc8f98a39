"""The scenarios by topic; importing this puts all of them into the table."""

from tests.chaos.scenarios import configuration, disk, jobs, kills, limits, postgres, redis, strain

__all__ = ["configuration", "disk", "jobs", "kills", "limits", "postgres", "redis", "strain"]
