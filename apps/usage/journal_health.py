"""Is what gateways write getting into the database? For people; read from ingest's own figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.db.models import Sum

from apps.usage.follow import read_status
from apps.usage.models import JournalCursor
from chatvault.lib import clock

_SILENT_S: Final = 30.0
_BEHIND_BYTES: Final = 16 * 2**20


@dataclass(frozen=True)
class JournalHealth:
    """`heartbeat_age_s` and `unshipped_bytes` are None where ingest never ran."""

    heartbeat_age_s: float | None
    unshipped_bytes: int | None
    failures: int
    torn_bytes: int
    bad_records: int

    @property
    def is_well(self) -> bool:
        return not self.problem

    @property
    def problem(self) -> str:
        """What is wrong and how to mend it; empty when all is well."""
        age = self.heartbeat_age_s
        if age is None:
            return "Ingest has not run here yet; manage.py serve starts it."
        if self.failures:
            return f"The database refused {self.failures} times in a row; ingest keeps trying."
        if age > _SILENT_S:
            return (
                f"Ingest has been silent for {age:.0f} s: see its lines in the log, and that "
                "manage.py serve (or manage.py ingest) runs."
            )
        if (self.unshipped_bytes or 0) > _BEHIND_BYTES:
            return "Ingest is behind: requests show up here late until it has caught up."
        return ""


def journal_health(directory: Path) -> JournalHealth:
    """One query and one small file."""
    status = read_status(directory)
    damage = JournalCursor.objects.aggregate(
        torn=Sum("torn_bytes", default=0), bad=Sum("bad_records", default=0)
    )
    return JournalHealth(
        heartbeat_age_s=max(clock.wall_s() - status.at_s, 0.0) if status else None,
        unshipped_bytes=status.unshipped_bytes if status else None,
        failures=status.failures if status else 0,
        torn_bytes=damage["torn"],
        bad_records=damage["bad"],
    )
