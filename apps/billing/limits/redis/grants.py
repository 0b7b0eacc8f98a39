"""How much of each budget a process needs to go on without Redis for a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from apps.billing.limits.redis.plan import Plan
from chatvault.lib import clock

_REQUESTS: Final = 4
LOOKS_EVERY_S: Final = 0.9


class Want(NamedTuple):
    """The start of the window, what may be spent in it, what should be granted, and the starts of
    the blocks that count too."""

    start_s: int
    most_nano: int
    nano_usd: int
    earlier: list[int]


class Wants:
    """What is in flight at once holds the most it can cost, and so will what comes in its place;
    what is spent for good goes on as it did since the last look."""

    def __init__(self, standby_s: float) -> None:
        self._standby_s = standby_s
        self._seen: dict[int, tuple[float, int, float]] = {}  # when, spent, nano-USD a second

    def look(self, plans: Iterable[Plan]) -> dict[int, Want]:
        """By budget id."""
        now = clock.monotonic()
        wanted: dict[int, Want] = {}
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
            for (_, budget), start_s, most, earlier in zip(
                plan.budgets, plan.starts, plan.most, plan.earlier, strict=True
            ):
                known = wanted.get(budget.id)
                other = known.nano_usd if known else 0
                wanted[budget.id] = Want(start_s, most, other + want, earlier)
        self._seen = seen
        return wanted
