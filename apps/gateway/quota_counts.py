"""What quotas refused in this process, and what those that only observe would have refused.

Written by the event loop alone; `figures` may be called from any thread.
"""

from __future__ import annotations

from typing import Final

from apps.gateway.snapshot.model import Snapshot
from apps.usage.records import MOST_QUOTA_ROWS, QuotaRow
from chatvault.lib.errors import ChatVaultError, RateLimited
from chatvault.lib.metrics.families import Family, Figures

REFUSED: Final = Family(
    "chatvault_quota_refusals_total",
    "counter",
    "Requests that a quota refused, by what it is on and what it counts.",
    ("scope", "unit"),
)
OBSERVED: Final = Family(
    "chatvault_quota_would_refuse_total",
    "counter",
    "Requests that a quota which only observes would have refused.",
    ("scope", "unit"),
)
_Place = tuple[str, str]
_GONE: Final = ("gone", "gone")


class QuotaCounts:
    """Counts for the journal since the last record, and for metrics since the start."""

    def __init__(self) -> None:
        self._pending: dict[int, list[int]] = {}  # by quota: refused, observed
        self._refused: dict[_Place, int] = {}
        self._observed: dict[_Place, int] = {}
        self._places: dict[int, _Place] = {}
        self._of: Snapshot | None = None

    def refused(self, error: ChatVaultError, snapshot: Snapshot) -> None:
        """Count it, where it was a quota that refused."""
        if isinstance(error, RateLimited) and error.quota_id:
            self._pending.setdefault(error.quota_id, [0, 0])[0] += 1
            place = self._place(error.quota_id, snapshot)
            self._refused[place] = self._refused.get(place, 0) + 1

    def observed(self, quota_ids: tuple[int, ...], snapshot: Snapshot) -> None:
        """A request was let through that these would have refused."""
        for quota_id in quota_ids:
            self._pending.setdefault(quota_id, [0, 0])[1] += 1
            place = self._place(quota_id, snapshot)
            self._observed[place] = self._observed.get(place, 0) + 1

    def pending(self) -> tuple[QuotaRow, ...]:
        """What is not in the journal yet, as much as one record takes. Call `written` with it."""
        rows = list(self._pending.items())[:MOST_QUOTA_ROWS]
        return tuple(QuotaRow(quota_id, *counts) for quota_id, counts in rows)

    def written(self, rows: tuple[QuotaRow, ...]) -> None:
        for row in rows:
            counts = self._pending[row.quota_id]
            counts[0] -= row.refused
            counts[1] -= row.observed
            if counts == [0, 0]:
                del self._pending[row.quota_id]

    def figures(self) -> Figures:
        for family, counts in ((REFUSED, self._refused), (OBSERVED, self._observed)):
            yield family, {place: (count,) for place, count in counts.copy().items()}

    def _place(self, quota_id: int, snapshot: Snapshot) -> _Place:
        if self._of is not snapshot:
            self._places = _places_of(snapshot)
            self._of = snapshot
        return self._places.get(quota_id, _GONE)


def _places_of(snapshot: Snapshot) -> dict[int, _Place]:
    scopes = [scope for client in snapshot.clients.values() for scope in client.scopes]
    for limits in (
        snapshot.key_limits, snapshot.user_limits, snapshot.alias_limits, snapshot.provider_limits,
    ):  # fmt: skip
        scopes.extend(limits.values())
    return {quota.id: (scope.kind, quota.unit) for scope in scopes for quota in scope.quotas}
