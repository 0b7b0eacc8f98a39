"""Is what gateways write getting into the database? For people; read from ingest's own figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.db.models import Max, Min, Sum

from apps.billing import shared_limits
from apps.billing.models import GatewayNode
from apps.usage.follow import read_status
from apps.usage.models import JournalCursor
from chatvault.lib import clock

_SILENT_S: Final = 30.0
_BEHIND_BYTES: Final = 16 * 2**20
_FORGOTTEN: Final = timedelta(days=1)
_Figures = tuple[float | None, int | None, int]


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
    """Of this node, or of all nodes where they share their limits: two queries at the most."""
    damage = JournalCursor.objects.aggregate(
        torn=Sum("torn_bytes", default=0), bad=Sum("bad_records", default=0)
    )
    age_s, unshipped, failures = (
        _of_all_nodes() if shared_limits.is_used() else _of_this_node(directory)
    )
    return JournalHealth(age_s, unshipped, failures, damage["torn"], damage["bad"])


def _of_this_node(directory: Path) -> _Figures:
    status = read_status(directory)
    if status is None:
        return None, None, 0
    return max(clock.wall_s() - status.at_s, 0.0), status.unshipped_bytes, status.failures


def _of_all_nodes() -> _Figures:
    """The most silent ingest, what waits in all, and the most failures; of nodes that were seen
    within a day."""
    nodes = GatewayNode.objects.filter(
        last_seen_at__gt=clock.now() - _FORGOTTEN, ingest_seen_at__isnull=False
    )
    told = nodes.aggregate(
        seen=Min("ingest_seen_at"),
        unshipped=Sum("unshipped_bytes"),
        failures=Max("ingest_failures"),
    )
    if told["seen"] is None:
        return None, None, 0
    age_s = max(clock.wall_s() - told["seen"].timestamp(), 0.0)
    return age_s, told["unshipped"], told["failures"]
