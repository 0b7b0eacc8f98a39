"""What a back end of limits promises. Data and one protocol; no I/O, no ORM."""

from __future__ import annotations

from typing import Final, Literal, Protocol

import msgspec

Unit = Literal["requests", "tokens", "input_tokens", "output_tokens", "concurrency"]
Period = str
"""Such as `month` or `week@Europe/Berlin`: see `periods`."""
Action = Literal["observe", "warn", "throttle", "degrade", "refuse"]
BOUNDLESS: Final = 4 * 10**18
"""Nano-USD that nobody spends: what a budget that refuses nothing has room for."""


class Override(msgspec.Struct, frozen=True):
    """Another ceiling of a quota from `from_s` until before `until_s`, in epoch seconds."""

    ceiling: int
    from_s: float
    until_s: float


class QuotaLimit(msgspec.Struct, frozen=True):
    """At most `ceiling` units in any `window_s` seconds; concurrency has no window.

    One that only `observes` refuses nothing: what it would have refused is not booked in it,
    and is told. `overrides` begin and end by the wall clock, in every process by itself.
    """

    id: int
    unit: Unit
    window_s: int
    ceiling: int
    observes: bool = False
    overrides: tuple[Override, ...] = ()

    def ceiling_at(self, wall_s: float) -> tuple[int, float]:
        """The ceiling at that time, and the time until which it surely is the same. Of several
        overrides the one that began last counts."""
        ceiling, until_s = self.ceiling, float("inf")
        latest = float("-inf")
        for one in self.overrides:
            if one.from_s > wall_s:
                until_s = min(until_s, one.from_s)
            elif wall_s < one.until_s:
                until_s = min(until_s, one.until_s)
                if one.from_s > latest:
                    ceiling, latest = one.ceiling, one.from_s
        return ceiling, until_s


class Raise(msgspec.Struct, frozen=True):
    """More money from `from_s` until before `until_s`, in epoch seconds."""

    extra_nano: int
    from_s: float
    until_s: float


class Stage(msgspec.Struct, frozen=True):
    """What happens from `at_percent` of the amount on. `id` is that of its throttling quota."""

    at_percent: int
    action: Action
    id: int = 0
    requests_per_minute: int = 0
    alias: str = ""


class BudgetLimit(msgspec.Struct, frozen=True):
    """At most `amount_nano` nano-USD in one window of the period.

    `refuses_at` is the percentage of the amount at which requests are refused; None: never.
    `rolled` is what earlier windows left, as (start of the window that gets it, nano-USD).
    `raises` begin and end by the wall clock, in every process by itself. `stages` are those that
    refuse nothing, the lowest first.
    """

    id: int
    amount_nano: int
    period: Period
    refuses_at: int | None = 100
    rolled: tuple[tuple[int, int], ...] = ()
    raises: tuple[Raise, ...] = ()
    stages: tuple[Stage, ...] = ()

    def amount_at(self, start_s: int, wall_s: float) -> tuple[int, float]:
        """The amount of the window that begins at `start_s`, and until when it is surely the
        same."""
        amount, until_s = self.amount_nano, float("inf")
        for window_start_s, nano in self.rolled:
            if window_start_s == start_s:
                amount += nano
        for one in self.raises:
            if one.from_s > wall_s:
                until_s = min(until_s, one.from_s)
            elif wall_s < one.until_s:
                until_s = min(until_s, one.until_s)
                amount += one.extra_nano
        return amount, until_s

    def most(self, amount_nano: int) -> int:
        """What may be spent of an amount."""
        if self.refuses_at == 100:
            return amount_nano
        return BOUNDLESS if self.refuses_at is None else amount_nano * self.refuses_at // 100


class ScopeLimits(msgspec.Struct, frozen=True):
    """The limits on one key, client, team, user, alias or provider. `kind` may be named to callers,
    `id` never is."""

    kind: str
    id: int
    quotas: tuple[QuotaLimit, ...] = ()
    budgets: tuple[BudgetLimit, ...] = ()


class Demand(msgspec.Struct, frozen=True):
    """The most that one request can use; nothing is negative. Output is a part of the tokens."""

    tokens: int
    nano_usd: int
    output_tokens: int = 0


class Headroom(msgspec.Struct):
    """What the tightest scope of each unit leaves after the reservation, for response headers.

    None where no scope has a quota of that unit. A reset is the time until the window would be
    as if unused. `budgets` are (budget id, start of the window in epoch seconds) of the windows
    that hold the money, where it will also be settled. `scope_requests` and `scope_tokens` are the
    kinds of those tightest scopes. `observed` are the quotas that only observe and would have
    refused. `used` are (budget id, nano-USD spent and held before this request, amount) of the
    budgets with stages.
    """

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float | None = None
    budgets: tuple[tuple[int, int], ...] = ()
    scope_requests: str = ""
    scope_tokens: str = ""
    observed: tuple[int, ...] = ()
    used: tuple[tuple[int, int, int], ...] = ()


class BudgetState(msgspec.Struct, frozen=True):
    """What the ledger says one window of a budget has spent."""

    budget_id: int
    window_start_s: int
    settled_nano: int


class BudgetUsage(msgspec.Struct, frozen=True):
    """The current window of one budget. `left_nano` is never negative."""

    window_start_s: int
    spent_nano: int
    held_nano: int
    left_nano: int


class Limits(Protocol):
    """Reservations over all scopes of a request.

    A reservation exists from `reserve` until the first `settle` or `release`, which alone
    resolve it; called again, or for an unknown id, they change nothing.
    """

    async def reserve(
        self, request_id: bytes, scopes: tuple[ScopeLimits, ...], demand: Demand
    ) -> Headroom:
        """Take the demand from every limit of every scope, or from none.

        While the reservation exists a repeated call returns the first answer. Amounts and
        ceilings count as given in this call, quotas that only observe never refuse. Raises, having
        taken nothing, the gravest of
        BudgetExhausted (spent and demand pass the amount), RateLimited, and BudgetHeld (it
        would fit if what is in flight had cost nothing).
        """
        ...

    async def peek(self, scopes: tuple[ScopeLimits, ...], demand: Demand) -> Headroom:
        """What is left now, having taken nothing; raises what `reserve` would raise of it."""
        ...

    async def extend(self, request_id: bytes, nano_usd: int) -> bool:
        """Hold more money in every budget of the reservation, or in none.

        Renews the leases too. False: some budget cannot hold it, or there is no reservation.
        """
        ...

    async def renew(self, request_id: bytes) -> bool:
        """Keep the concurrency slots for another lease. False: there is no reservation, or a
        slot has lapsed; a lapsed slot is not taken back, because it may be another's."""
        ...

    async def settle(
        self, request_id: bytes, *, tokens: int, nano_usd: int, output_tokens: int = 0
    ) -> None:
        """Book what was used in place of what was held, in the windows that held it.

        Booked in full, also when it is more than was held; `output_tokens` are a part of `tokens`.
        The request itself stays counted.
        """
        ...

    async def release(self, request_id: bytes) -> None:
        """Undo the reservation as if it had never been made: nothing was sent."""
        ...
