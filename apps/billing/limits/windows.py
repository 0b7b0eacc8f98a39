"""The counters behind limits: sliding windows, leased slots, calendar budgets. In memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Protocol, TypeVar

from apps.billing.limits.contract import BudgetLimit, QuotaLimit
from apps.billing.limits.periods import earlier_blocks, period_bounds

SUBSLOTS = 60
NS = 1_000_000_000
US_PER_S = 1_000_000
NEVER_NS = 1 << 62
IDLE_NS = 60 * NS


class Bucket:
    """What was booked in one sub-slot. `slot` is GONE once the window has left it behind."""

    __slots__ = ("count", "slot", "window")
    GONE = -1

    def __init__(self, window: SlidingWindow, slot: int) -> None:
        self.window = window
        self.slot = slot
        self.count = 0

    def correct(self, difference: int) -> None:
        """Change what was booked here; without effect on a window that has moved on."""
        if self.slot != Bucket.GONE:
            self.count += difference
            self.window.total += difference


class SlidingWindow:
    """Bookings of the last `window_s` seconds in 60 sub-slots, on a monotonic clock.

    A booking counts until its whole sub-slot is a full window old. So no half-open interval of
    `window_s` seconds, wherever it starts, ever holds more than the ceiling; the price is that a
    booking counts up to 1/60 of the window longer than an exact log of times would let it.
    `total`, `bucket` and `ceiling` are current only after `roll`, which is due from `turn_ns` on.
    """

    __slots__ = ("bucket", "buckets", "ceiling", "kind", "quota", "total", "turn_ns", "width_ns")

    def __init__(self, quota: QuotaLimit, kind: str, now_ns: int, wall_ns: int) -> None:
        self.quota = quota
        self.kind = kind
        self.total = 0
        self.buckets: deque[Bucket] = deque()
        self.width_ns = width_ns(quota.window_s)
        self._open(now_ns // self.width_ns)
        self._follow(wall_ns)

    def _open(self, slot: int) -> None:
        self.bucket = Bucket(self, slot)
        self.buckets.append(self.bucket)

    def _follow(self, wall_ns: int) -> None:
        """The ceiling of now. With overrides every request looks: the wall clock may be set."""
        self.ceiling = self.quota.ceiling
        self.turn_ns = (self.bucket.slot + 1) * self.width_ns
        if self.quota.overrides:
            self.ceiling, _ = self.quota.ceiling_at(wall_ns / NS)
            self.turn_ns = 0

    def roll(self, now_ns: int, wall_ns: int) -> None:
        """Forget what has left the window and open the sub-slot of now."""
        slot = now_ns // self.width_ns
        oldest = slot - SUBSLOTS
        buckets = self.buckets
        while buckets and buckets[0].slot < oldest:
            gone = buckets.popleft()
            gone.slot = Bucket.GONE
            self.total -= gone.count
        if not buckets or buckets[-1].slot != slot:
            self._open(slot)
        self._follow(wall_ns)

    def adopt(self, quota: QuotaLimit, now_ns: int, wall_ns: int) -> None:
        """Follow a changed quota of the same unit; bookings keep counting in its new length."""
        width = width_ns(quota.window_s)
        self.quota = quota
        if width == self.width_ns:
            self._follow(wall_ns)
            return
        slot = now_ns // width
        for bucket in self.buckets:
            end_ns = (bucket.slot + 1) * self.width_ns
            bucket.slot = min(slot, end_ns // width)
        self.width_ns = width
        self.roll(now_ns, wall_ns)

    def left(self) -> int:
        """May be negative: a ceiling can be lowered and a settlement can be more than held."""
        return self.ceiling - self.total

    def reset_ns(self) -> int:
        """When the window will be as if unused; nothing may have been booked since."""
        return (self.bucket.slot + 1 + SUBSLOTS) * self.width_ns

    def used_at(self, now_ns: int) -> int:
        """What counts now; changes nothing."""
        oldest = now_ns // self.width_ns - SUBSLOTS
        return sum(bucket.count for bucket in self.buckets if bucket.slot >= oldest)

    def wait_ns(self, demand: int, ceiling: int, now_ns: int) -> int:
        """How long until the demand fits if nothing else happens; 0: it does, or NEVER_NS."""
        excess = self.total + demand - ceiling
        if excess <= 0:
            return 0
        for bucket in self.buckets:
            excess -= bucket.count
            if excess <= 0:
                return (bucket.slot + SUBSLOTS + 1) * self.width_ns - now_ns
        return NEVER_NS

    def is_idle(self, now_ns: int) -> bool:
        return now_ns >= self.reset_ns()


class Leases:
    """Slots in use by request id, each until its lease ends; oldest lease first."""

    __slots__ = ("asked_ns", "ceiling", "ends")

    def __init__(self) -> None:
        self.ends: dict[bytes, int] = {}
        self.asked_ns = 0
        self.ceiling = 0  # of the quota that asked last

    def is_idle(self, now_ns: int) -> bool:
        """Empty since a while: the moment between being asked for and being used is not idle."""
        return now_ns > self.asked_ns + IDLE_NS and all(end <= now_ns for end in self.ends.values())

    def drop_lapsed(self, now_ns: int) -> None:
        while self.ends:
            request_id, end = next(iter(self.ends.items()))
            if end > now_ns:
                return
            del self.ends[request_id]

    def renew(self, request_id: bytes, now_ns: int, end_ns: int) -> bool:
        end = self.ends.pop(request_id, 0)
        if end <= now_ns:
            return False
        self.ends[request_id] = end_ns
        return True


class BudgetWindow:
    """One period of one budget, in nano-USD."""

    __slots__ = ("book", "held", "key", "settled", "start_s")

    def __init__(self, book: BudgetBook, start_s: int) -> None:
        self.book = book
        self.key = (book.budget_id, start_s)
        self.start_s = start_s
        self.settled = 0
        self.held = 0


class BudgetBook:
    """The windows of one budget by their start. `window` is the one of wall times from
    `opens_ns` until `closes_ns`; at any other time `turn` must be called first.

    A clock that steps back finds the window before the latest as it was. Windows before
    `floor_s` are forgotten or were never known, so none is opened there: the oldest that is
    known stands in for them. `limit` is the latest that was asked with; None until then.

    `amount` is what the window of now has, raises and what rolled over included; `ceiling` is
    what of it may be spent in that window: of a rolling budget less what its other blocks have.
    """

    __slots__ = (
        "amount", "budget_id", "ceiling", "closes_ns", "floor_s", "is_staged", "limit", "opens_ns",
        "others", "window", "windows",
    )  # fmt: skip

    def __init__(self, budget_id: int, start_s: int) -> None:
        self.budget_id = budget_id
        self.limit: BudgetLimit | None = None
        self.window = BudgetWindow(self, start_s)
        self.windows = {start_s: self.window}
        self.opens_ns = self.closes_ns = 0
        self.floor_s = start_s
        self.amount = self.ceiling = 0
        self.others: list[BudgetWindow] = []  # the other blocks that count
        self.is_staged = False

    def turn(self, limit: BudgetLimit, wall_ns: int) -> BudgetWindow:
        """Open the window of now, and follow a changed limit."""
        start_s, end_s = period_bounds(limit.period, wall_ns // NS)
        if self.limit is None:
            self.floor_s = min(self.windows)
        elif self.limit.period != limit.period:
            self.windows = {start_s: self.at(start_s)}
            self.floor_s = start_s
        self.limit = limit
        self.is_staged = bool(limit.stages)
        self.amount, until_s = limit.amount_at(start_s, wall_ns / NS)
        self.opens_ns, self.closes_ns = start_s * NS, end_s * NS
        if limit.raises:  # the wall clock may be set back
            self.opens_ns = max(self.opens_ns, wall_ns)
            if until_s < end_s:
                self.closes_ns = max(int(until_s * NS), wall_ns + 1)
        self.window = self.at(max(start_s, self.floor_s))
        self._count_others(limit.period)
        self._forget()
        self.ceiling = limit.most(self.amount) - self.others_settled() - self.others_held()
        return self.window

    def use(self) -> tuple[int, int, int]:
        """For `Headroom.used`: of the window of now."""
        window = self.window
        others = self.others_settled() + self.others_held()
        return self.budget_id, window.settled + window.held + others, self.amount

    def others_settled(self) -> int:
        return sum(other.settled for other in self.others)

    def others_held(self) -> int:
        return sum(other.held for other in self.others)

    def at(self, start_s: int) -> BudgetWindow:
        window = self.windows.get(start_s)
        if window is None:
            window = self.windows[start_s] = BudgetWindow(self, start_s)
        return window

    def has_room(self, window: BudgetWindow, nano_usd: int) -> bool:
        """Whether as much more fits into the window, which need not be that of now."""
        if window is self.window or self.limit is None:
            return window.settled + window.held + nano_usd <= self.ceiling
        most = self.limit.most(self.amount)
        if not self.others:
            return window.settled + window.held + nano_usd <= most
        now = self.window
        used = now.settled + now.held + self.others_settled() + self.others_held()
        return used + nano_usd <= most

    def changed(self, window: BudgetWindow) -> None:
        """Another window than that of now has changed: the next request counts anew."""
        if window is not self.window:
            self.closes_ns = 0

    def _count_others(self, period: str) -> None:
        """All but the window of now and what has rolled away; after a step back of the clock
        also what is still to come."""
        earlier = earlier_blocks(period, self.window.start_s)
        self.others = []
        if earlier:
            self.others = [
                window
                for start_s, window in self.windows.items()
                if start_s >= earlier[0] and window is not self.window
            ]

    def _forget(self) -> None:
        for start_s in sorted(self.windows)[:-2]:
            window = self.windows[start_s]
            if window is not self.window and window not in self.others:
                del self.windows[start_s]
                self.floor_s = min(self.windows)


class _Forgettable(Protocol):
    def is_idle(self, now_ns: int) -> bool: ...


_F = TypeVar("_F", bound=_Forgettable)


def forget_idle(table: OrderedDict[int, _F], now_ns: int) -> None:
    """Look at the two entries that were not looked at for longest; drop those that are idle."""
    for _ in range(min(2, len(table))):
        key, entry = next(iter(table.items()))
        if entry.is_idle(now_ns):
            del table[key]
        else:
            table.move_to_end(key)


def width_ns(window_s: int) -> int:
    """Rounded up to whole microseconds, which every back end can count, so that 60 sub-slots are
    never shorter than the window."""
    return -(-max(window_s, 1) * US_PER_S // SUBSLOTS) * 1000
