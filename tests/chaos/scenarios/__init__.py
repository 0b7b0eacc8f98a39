"""The scenarios by topic; importing this puts all of them into the table."""

from tests.chaos.scenarios import (
    configuration,
    credentials,
    disk,
    jobs,
    kills,
    limits,
    postgres,
    redis,
    strain,
)

__all__ = [
    "configuration",
    "credentials",
    "disk",
    "jobs",
    "kills",
    "limits",
    "postgres",
    "redis",
    "strain",
]
