"""The scenarios by topic; importing this puts all of them into the table."""

from tests.chaos.scenarios import disk, kills, limits, postgres, redis

__all__ = ["disk", "kills", "limits", "postgres", "redis"]
