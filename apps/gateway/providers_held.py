"""Quotas of providers: each call holds its part of them while it runs, apart from the request.

Which provider serves is known when it is called, so the call asks, not the admission. A provider
that has nothing left is passed over, for a moment without being asked again. So is one whose
budget is used up, by what the ledger said last and what this process spent since: of budgets
nothing is held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from apps.billing.limits import Demand, Limits
from chatvault.lib import clock
from chatvault.lib.errors import RateLimited

if TYPE_CHECKING:
    from apps.gateway.contracts import Candidate
    from apps.gateway.meter import Meter

_REST_S: Final = 1.0
_LEDGER_LAG_S: Final = 4.0  # from a call's end until what the ledger says of it is known here


class _Full(NamedTuple):
    """What a provider said to a request of so many tokens, and until when it is believed."""

    until: float
    tokens: int
    refusal: RateLimited


class _Lately:
    """What was spent in the last seconds."""

    def __init__(self) -> None:
        self._calls: deque[tuple[float, int]] = deque()
        self._nano = 0

    def add(self, nano: int) -> None:
        self._calls.append((clock.monotonic(), nano))
        self._nano += nano

    def total(self) -> int:
        since = clock.monotonic() - _LEDGER_LAG_S
        while self._calls and self._calls[0][0] < since:
            self._nano -= self._calls.popleft()[1]
        return self._nano


class ProviderLimits:
    """Of one process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._full: dict[int, _Full] = {}
        self.left: Mapping[int, tuple[int, int]] = {}
        """By provider with a budget: what the ledger said is left, and until when it is said."""
        self._lately: dict[int, _Lately] = {}

    def is_spent_out(self, provider_id: int) -> bool:
        """Whether the provider's budget is used up. What this process spent lately may be in the
        ledger already: near its end a budget can seem used up for some seconds too early, and is
        not passed by what one process spends in them."""
        known = self.left.get(provider_id)
        if known is None or clock.wall_s() >= known[1]:
            return False
        lately = self._lately.get(provider_id)
        return known[0] <= (lately.total() if lately is not None else 0)

    def spend(self, provider_id: int, cost_nano: int) -> None:
        """A call cost so much."""
        if provider_id in self.left:
            self._lately.setdefault(provider_id, _Lately()).add(cost_nano)

    async def hold(self, candidate: Candidate, meter: Meter) -> tuple[int, ...]:
        """Take the request's part of the provider's quotas; returns those that only observe and
        would have refused. Raises RateLimited."""
        provider_id = candidate.scopes[0].id
        tokens = meter.prompt_tokens + meter.output_cap
        full = self._full.get(provider_id)
        if full is not None and full.tokens <= tokens and full.until > clock.monotonic():
            raise full.refusal.with_traceback(None)  # else each raise would make it longer
        demand = Demand(tokens, 0, meter.output_cap)
        hold = meter.request.id + b"p%d" % (meter.attempts + 1)
        try:
            headroom = await self._limits.reserve(hold, candidate.scopes, demand)
        except RateLimited as refusal:
            wait_s = int(refusal.headers.get("retry-after-ms", "0")) / 1000
            until = clock.monotonic() + min(wait_s, _REST_S)
            self._full[provider_id] = _Full(until, tokens, refusal)
            raise
        meter.provider_hold = hold
        return headroom.observed

    async def settle(self, meter: Meter) -> None:
        """The call is over: what it used counts in place of what it held. The call itself stays
        counted, whatever became of it: so do providers."""
        hold, meter.provider_hold = meter.provider_hold, b""
        if not hold:
            return
        usage = meter.usage
        await self._limits.settle(
            hold,
            tokens=usage.input_tokens + usage.output_tokens,
            nano_usd=0,
            output_tokens=usage.output_tokens,
        )
