"""How much of each budget a process needs to go on without Redis for a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apps.billing.limits.redis.plan import Plan
from chatvault.lib import clock

_REQUESTS: Final = 4
LOOKS_EVERY_S: Final = 0.9


class Wants:
    """What is in flight at once holds the most it can cost, and so will what comes in its place;
    what is spent for good goes on as it did since the last look."""

    def __init__(self, standby_s: float) -> None:
        self._standby_s = standby_s
        self._seen: dict[int, tuple[float, int, float]] = {}  # when, spent, nano-USD a second

    def look(self, plans: Iterable[Plan]) -> dict[int, tuple[int, int, int]]:
        """By budget id: start of the window, its amount, and what should be granted."""
        now = clock.monotonic()
        wanted: dict[int, tuple[int, int, int]] = {}
        seen: dict[int, tuple[float, int, float]] = {}
        for plan in plans:
            at, before, rate = self._seen.get(id(plan), (now, plan.spent_nano, 0.0))
            if now - at > LOOKS_EVERY_S / 2:  # less says little
                rate = (plan.spent_nano - before) / (now - at)
                at, before = now, plan.spent_nano
            seen[id(plan)] = (at, before, rate)
            lasting = int(rate * (self._standby_s + LOOKS_EVERY_S))
            want = plan.most_held_nano + _REQUESTS * plan.recent_nano + lasting
            plan.most_held_nano = max(plan.held_nano, plan.most_held_nano * 15 // 16)
            for (_, budget), start_s in zip(plan.budgets, plan.starts, strict=True):
                _, _, other = wanted.get(budget.id, (0, 0, 0))
                wanted[budget.id] = (start_s, budget.amount_nano, other + want)
        self._seen = seen
        return wanted
