"""The scenarios by topic; importing this puts all of them into the table."""

from tests.chaos.scenarios import kills, postgres

__all__ = ["kills", "postgres"]
