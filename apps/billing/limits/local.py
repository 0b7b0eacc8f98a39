"""Limits in the memory of one process: no call awaits, so every call is atomic."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from apps.billing.limits import refusals
from apps.billing.limits.contract import (
    BudgetLimit,
    BudgetState,
    BudgetUsage,
    Demand,
    Headroom,
    QuotaLimit,
    ScopeLimits,
)
from apps.billing.limits.peek import peek_local
from apps.billing.limits.periods import period_bounds
from apps.billing.limits.reservation import Reservation, part_of
from apps.billing.limits.room import headroom_of
from apps.billing.limits.windows import (
    NS,
    Bucket,
    BudgetBook,
    BudgetWindow,
    Leases,
    SlidingWindow,
    forget_idle,
)
from chatvault.lib import clock
from chatvault.lib.errors import ChatVaultError

LEASE_S = 900

_Buckets = list[Bucket]
_Found = tuple[bool, _Buckets, _Buckets, _Buckets, list[Leases], tuple[int, ...]]


class LocalLimits:
    """The `Limits` of an installation with one gateway process.

    Windows of requests and tokens and leases follow the monotonic clock, so that no step of the
    wall clock opens or closes them; budgets follow the calendar, and so the wall clock. Quotas
    that are idle are forgotten: each that is counted anew looks at two of its elders. Of a budget
    the last two windows are kept, as long as the process lives.
    """

    def __init__(
        self,
        *,
        lease_s: int = LEASE_S,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
        wall_ns: Callable[[], int] = clock.wall_ns,
    ) -> None:
        self._lease_ns = lease_s * NS
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._reservations: dict[bytes, Reservation] = {}
        self._windows: OrderedDict[int, SlidingWindow] = OrderedDict()
        self._leases: OrderedDict[int, Leases] = OrderedDict()
        self._books: dict[int, BudgetBook] = {}

    async def reserve(
        self, request_id: bytes, scopes: tuple[ScopeLimits, ...], demand: Demand
    ) -> Headroom:
        """See `Limits.reserve`."""
        known = self._reservations.get(request_id)
        if known is not None:
            return known.headroom
        tokens, nano_usd, output = demand.tokens, demand.nano_usd, demand.output_tokens
        if nano_usd < 0 or output < 0 or tokens < output:
            raise ValueError("a demand is not negative")
        now_ns, wall_ns = self._monotonic_ns(), self._wall_ns()
        is_free, by_request, by_token, parts, leases, missed = self._find_windows(
            scopes, demand, now_ns, wall_ns
        )
        is_paid, purses = self._find_purses(scopes, nano_usd, wall_ns)
        if not (is_free and is_paid):
            headroom = headroom_of(by_request, [*by_token, *parts], now_ns)
            raise self._refusal(scopes, demand, headroom, now_ns, wall_ns)
        for bucket in by_request:
            bucket.count += 1
            bucket.window.total += 1
        for bucket in by_token:
            bucket.count += tokens
            bucket.window.total += tokens
        for bucket in parts:
            bucket.correct(part_of(bucket, tokens, output))
        for slots in leases:
            slots.ends[request_id] = now_ns + self._lease_ns
        used: tuple[tuple[int, int, int], ...] = ()
        for purse in purses:
            if purse.book.is_staged:
                used += (purse.book.use(),)
            purse.held += nano_usd
        keys = tuple([purse.key for purse in purses])
        all_tokens = [*by_token, *parts] if parts else by_token
        headroom = headroom_of(by_request, all_tokens, now_ns, keys, missed)
        if used:
            headroom.used = used
        self._reservations[request_id] = Reservation(
            demand, nano_usd, by_request, by_token, parts, leases, purses, headroom
        )
        return headroom

    async def peek(self, scopes: tuple[ScopeLimits, ...], demand: Demand) -> Headroom:
        """See `Limits.peek`."""
        return peek_local(self, scopes, demand)

    async def extend(self, request_id: bytes, nano_usd: int) -> bool:
        """See `Limits.extend`."""
        if nano_usd < 0:
            raise ValueError("an extension is not negative")
        held = self._reservations.get(request_id)
        if held is None:
            return False
        await self.renew(request_id)
        if not all([purse.book.has_room(purse, nano_usd) for purse in held.purses]):
            return False
        for purse in held.purses:
            purse.held += nano_usd
            purse.book.changed(purse)
        held.nano_usd += nano_usd
        return True

    async def renew(self, request_id: bytes) -> bool:
        """See `Limits.renew`."""
        held = self._reservations.get(request_id)
        if held is None:
            return False
        now = self._monotonic_ns()
        return all([slots.renew(request_id, now, now + self._lease_ns) for slots in held.leases])

    async def settle(
        self, request_id: bytes, *, tokens: int, nano_usd: int, output_tokens: int = 0
    ) -> None:
        """See `Limits.settle`."""
        if nano_usd < 0 or output_tokens < 0 or tokens < output_tokens:
            raise ValueError("a settlement is not negative")
        held = self._reservations.pop(request_id, None)
        if held is None:
            return
        self._let_go(request_id, held, tokens, output_tokens)
        for purse in held.purses:
            purse.settled += nano_usd
            if purse is not purse.book.window:
                purse.book.changed(purse)

    async def release(self, request_id: bytes) -> None:
        """See `Limits.release`."""
        held = self._reservations.pop(request_id, None)
        if held is None:
            return
        self._let_go(request_id, held, 0, 0)
        for bucket in held.request_buckets:
            bucket.correct(-1)

    def restore(self, settled: Iterable[BudgetState]) -> None:
        """Set what windows have spent, as the ledger and the journal say; never adds to it.

        What is held stays held. A state replaces what was settled here and it does not count
        yet, so the time to restore a budget is before it is first reserved from. Windows older
        than the oldest that is restored then are never opened.
        """
        for state in settled:
            book = self._books.get(state.budget_id)
            if book is None:
                book = BudgetBook(state.budget_id, state.window_start_s)
                self._books[state.budget_id] = book
            book.at(state.window_start_s).settled = state.settled_nano
            book.closes_ns = 0

    def correct(self, budget_id: int, window_start_s: int, difference_nano: int) -> None:
        """Change what a restored window has spent: what was counted at its most turned out to
        cost something else. Without effect on a window that is forgotten."""
        book = self._books.get(budget_id)
        window = book.windows.get(window_start_s) if book else None
        if window is not None:
            window.settled += difference_nano
            window.book.closes_ns = 0

    def knows(self, budget_id: int) -> bool:
        """Whether the budget was ever restored or reserved from."""
        return budget_id in self._books

    def usage_of(self, limit: BudgetLimit) -> BudgetUsage:
        """The budget's window of now; of a rolling one, all that counts now."""
        wall_ns = self._wall_ns()
        book = self._books.get(limit.id)
        if book is None:
            start_s, _ = period_bounds(limit.period, wall_ns // NS)
            return BudgetUsage(start_s, 0, 0, limit.amount_at(start_s, wall_ns / NS)[0])
        purse = book.turn(limit, wall_ns)
        settled, held = purse.settled + book.others_settled(), purse.held + book.others_held()
        left = max(book.amount - settled - held, 0)
        return BudgetUsage(purse.start_s, settled, held, left)

    def used(self, quotas: Sequence[QuotaLimit]) -> dict[int, int]:
        """What counts now, by quota id; what nobody asked for lately is left out: it is 0."""
        now_ns = self._monotonic_ns()
        found: dict[int, int] = {}
        for quota in quotas:
            window, slots = self._windows.get(quota.id), self._leases.get(quota.id)
            if slots is not None and quota.unit == "concurrency":
                found[quota.id] = sum(end > now_ns for end in slots.ends.values())
            elif window is not None:
                found[quota.id] = window.used_at(now_ns)
        return found

    @property
    def in_flight(self) -> int:
        """Reservations that are neither settled nor released."""
        return len(self._reservations)

    @property
    def reserved_nano(self) -> int:
        """Σ of what unresolved reservations hold, each counted once whatever its scopes."""
        return sum(held.nano_usd for held in self._reservations.values())

    def sizes(self) -> dict[str, int]:
        """How many counters are kept in memory, by sort."""
        windows, leases, budgets = len(self._windows), len(self._leases), len(self._books)
        return {"windows": windows, "leases": leases, "budgets": budgets}

    def _find_windows(  # noqa: PLR0912 - for every request: calls would cost
        self, scopes: tuple[ScopeLimits, ...], demand: Demand, now_ns: int, wall_ns: int
    ) -> _Found:
        """Whether the quotas have room, where requests, tokens, parts of tokens and slots are
        booked, and which quotas only observe and have no room."""
        windows, tokens = self._windows, demand.tokens
        fits = True
        by_request: list[Bucket] = []
        by_token: list[Bucket] = []
        leases: list[Leases] = []
        parts: list[Bucket] = []
        missed: tuple[int, ...] = ()
        for scope in scopes:
            for quota in scope.quotas:
                unit = quota.unit
                if unit == "concurrency":
                    slots = self._slots(quota, now_ns, wall_ns)
                    if len(slots.ends) < slots.ceiling:
                        leases.append(slots)
                    elif quota.observes:
                        missed += (quota.id,)
                    else:
                        fits = False
                    continue
                window = windows.get(quota.id)
                if window is None or window.quota is not quota or now_ns >= window.turn_ns:
                    window = self._window(quota, scope.kind, now_ns, wall_ns)
                if unit == "requests":
                    if window.total < window.ceiling:
                        by_request.append(window.bucket)
                        continue
                    found = by_request
                elif unit == "tokens":
                    if window.total + tokens <= window.ceiling:
                        by_token.append(window.bucket)
                        continue
                    found = by_token
                else:
                    needed = part_of(window.bucket, tokens, demand.output_tokens)
                    if window.total + needed <= window.ceiling:
                        parts.append(window.bucket)
                        continue
                    found = parts
                if quota.observes:
                    missed += (quota.id,)
                else:
                    fits = False
                    found.append(window.bucket)
        return fits, by_request, by_token, parts, leases, missed

    def _find_purses(
        self, scopes: tuple[ScopeLimits, ...], nano_usd: int, wall_ns: int
    ) -> tuple[bool, list[BudgetWindow]]:
        """Whether the budgets have room, and the windows of now that hold the money."""
        books = self._books
        fits = True
        purses: list[BudgetWindow] = []
        for scope in scopes:
            for limit in scope.budgets:
                book = books.get(limit.id)
                if (
                    book is None
                    or book.limit is not limit
                    or not (book.opens_ns <= wall_ns < book.closes_ns)
                ):
                    purse = self._purse(limit, wall_ns)
                    book = purse.book
                else:
                    purse = book.window
                purses.append(purse)
                if purse.settled + purse.held + nano_usd > book.ceiling:
                    fits = False
        return fits, purses

    def _window(self, quota: QuotaLimit, kind: str, now_ns: int, wall_ns: int) -> SlidingWindow:
        """The window of a requests or tokens quota, rolled to now."""
        window = self._windows.get(quota.id)
        if window is None or window.quota.unit != quota.unit:
            forget_idle(self._windows, now_ns)
            window = SlidingWindow(quota, kind, now_ns, wall_ns)
            self._windows[quota.id] = window
        elif window.quota is not quota:
            window.adopt(quota, now_ns, wall_ns)
        if now_ns >= window.turn_ns:
            window.roll(now_ns, wall_ns)
        return window

    def _slots(self, quota: QuotaLimit, now_ns: int, wall_ns: int) -> Leases:
        """The leases of a concurrency quota; lapsed ones are dropped only when it is full."""
        slots = self._leases.get(quota.id)
        if slots is None:
            forget_idle(self._leases, now_ns)
            slots = self._leases[quota.id] = Leases()
        slots.asked_ns = now_ns
        slots.ceiling = quota.ceiling
        if quota.overrides:
            slots.ceiling, _ = quota.ceiling_at(wall_ns / NS)
        if len(slots.ends) >= slots.ceiling:
            slots.drop_lapsed(now_ns)
        return slots

    def _purse(self, limit: BudgetLimit, wall_ns: int) -> BudgetWindow:
        """The budget's window of now."""
        book = self._books.get(limit.id)
        if book is None:
            start_s, _ = period_bounds(limit.period, wall_ns // NS)
            book = self._books[limit.id] = BudgetBook(limit.id, start_s)
        return book.turn(limit, wall_ns)

    def _let_go(self, request_id: bytes, held: Reservation, tokens: int, output: int) -> None:
        """Give back what was held, but for `tokens`, of which `output`."""
        demand = held.demand
        difference = tokens - demand.tokens
        if difference:
            for bucket in held.token_buckets:
                bucket.correct(difference)
        for bucket in held.parts:
            bucket.correct(part_of(bucket, difference, output - demand.output_tokens))
        for slots in held.leases:
            slots.ends.pop(request_id, None)
        for purse in held.purses:
            purse.held -= held.nano_usd
            if purse is not purse.book.window:
                purse.book.changed(purse)

    def _refusal(
        self,
        scopes: tuple[ScopeLimits, ...],
        demand: Demand,
        headroom: Headroom,
        now_ns: int,
        wall_ns: int,
    ) -> ChatVaultError:
        """The gravest reason, so that a caller who heeds it is not refused for another."""
        held: ChatVaultError | None = None
        for scope in scopes:
            for limit in scope.budgets:
                purse = self._purse(limit, wall_ns)
                book = purse.book
                spent, most = purse.settled + book.others_settled(), limit.most(book.amount)
                if spent + demand.nano_usd > most:
                    return refusals.exhausted(scope.kind, limit, most, spent, demand.nano_usd)
                in_flight = purse.held + book.others_held()
                if spent + in_flight + demand.nano_usd > most:
                    held = refusals.held(scope.kind, limit, most, spent, in_flight)
        worst_ns, refused = 0, None
        for scope in scopes:
            for quota in scope.quotas:
                if quota.observes:
                    continue
                wait_ns, ceiling = self._wait_ns(quota, scope.kind, demand, now_ns, wall_ns)
                if wait_ns > worst_ns:
                    worst_ns, refused = wait_ns, (scope.kind, quota, ceiling)
        if refused is not None:
            return refusals.limited(*refused, worst_ns, headroom, demand)
        assert held is not None
        return held

    def _wait_ns(
        self, quota: QuotaLimit, kind: str, demand: Demand, now_ns: int, wall_ns: int
    ) -> tuple[int, int]:
        """How long the quota refuses the demand, at least, and its ceiling; 0: it does not."""
        if quota.unit == "concurrency":
            slots = self._slots(quota, now_ns, wall_ns)
            is_full = len(slots.ends) >= slots.ceiling
            return (refusals.BUSY_NS if is_full else 0), slots.ceiling
        window = self._window(quota, kind, now_ns, wall_ns)
        count = refusals.demanded(quota.unit, demand)
        return window.wait_ns(count, window.ceiling, now_ns), window.ceiling
