"""How much of quotas is used now, what they refused, and which will be reached first.

The counters are in the process that reserves, or in Redis: whoever can be asked registers here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from apps.billing.limits.contract import Override, QuotaLimit, Unit
from apps.billing.models import Quota, QuotaOverride
from chatvault.lib import clock

Source = Callable[[Sequence[QuotaLimit]], Mapping[int, int] | None]
"""What counts now by quota id, where 0 may be left out; None: it cannot be known."""


class _Known:
    """One instance, below: who can be asked in this process."""

    source: Source | None = None


_known = _Known()


def register(source: Source | None) -> None:
    """Ask `source` from now on; None: nobody knows any more."""
    _known.source = source


@dataclass(frozen=True)
class QuotaUse:
    """One quota now. `used` is None where the counters cannot be asked; `ends_at` is when a
    temporary ceiling ends, None without one."""

    quota: Quota
    used: int | None
    ceiling: int
    ends_at: datetime | None

    @property
    def share(self) -> float:
        """Of the ceiling; what is not known comes last."""
        return -1.0 if self.used is None else self.used / self.ceiling

    @property
    def left(self) -> int | None:
        return None if self.used is None else max(self.ceiling - self.used, 0)


def limit_of(quota: Quota, overrides: Iterable[QuotaOverride]) -> QuotaLimit:
    """As the back ends know it."""
    unit = cast(Unit, quota.unit)
    known = tuple(
        Override(one.ceiling, one.starts_at.timestamp(), one.ends_at.timestamp())
        for one in overrides
    )
    return QuotaLimit(quota.pk, unit, quota.window_s, quota.ceiling, quota.observes, known)


def uses_of(quotas: Iterable[Quota]) -> list[QuotaUse]:
    """In the order given. Prefetch `overrides`: each is looked at."""
    rows = list(quotas)
    limits = [limit_of(row, row.overrides.all()) for row in rows]
    source = _known.source
    used = source(limits) if source is not None and limits else None
    at = clock.now()
    found = []
    for row, limit in zip(rows, limits, strict=True):
        ceiling, _ = limit.ceiling_at(at.timestamp())
        ends = [one.ends_at for one in row.overrides.all() if one.is_on(at)]
        is_known = used is not None and row.is_active
        count = used.get(row.pk, 0) if used is not None and is_known else None
        found.append(QuotaUse(row, count, ceiling, min(ends, default=None)))
    return found


def closest(uses: Iterable[QuotaUse]) -> list[QuotaUse]:
    """Those that will be reached first, first."""
    return sorted(uses, key=lambda use: (-use.share, use.quota.pk))
