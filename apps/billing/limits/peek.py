"""Would it fit? The judgement of `reserve` without the taking, for each back end.

Nothing is counted, held or leased, and no request id is remembered. What is said holds for the
moment in which it is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.billing.limits.room import headroom_of
from chatvault.lib.errors import LimitsUnavailable

if TYPE_CHECKING:
    from apps.billing.limits.contract import Demand, Headroom, ScopeLimits
    from apps.billing.limits.local import LocalLimits
    from apps.billing.limits.redis.limits import RedisLimits


def peek_local(limits: LocalLimits, scopes: tuple[ScopeLimits, ...], demand: Demand) -> Headroom:
    """What is left now. Raises what `reserve` would raise."""
    now_ns, wall_ns = limits._monotonic_ns(), limits._wall_ns()
    is_free, by_request, by_token, parts, _, missed = limits._find_windows(
        scopes, demand, now_ns, wall_ns
    )
    is_paid, purses = limits._find_purses(scopes, demand.nano_usd, wall_ns)
    headroom = headroom_of(
        by_request,
        [*by_token, *parts],
        now_ns,
        tuple([purse.key for purse in purses]),
        missed,
    )
    headroom.used = tuple([purse.book.use() for purse in purses if purse.book.is_staged])
    if not (is_free and is_paid):
        raise limits._refusal(scopes, demand, headroom, now_ns, wall_ns)
    return headroom


async def peek_redis(
    limits: RedisLimits, scopes: tuple[ScopeLimits, ...], demand: Demand
) -> Headroom:
    """The same, asked of the counters that all processes share. While Redis is away nobody can
    say what is left: raises LimitsUnavailable."""
    from apps.billing.limits.redis.limits import ADMITTED, UNKNOWN
    from apps.billing.limits.redis.link import LinkLost
    from apps.billing.limits.redis.script import Op, id_of
    from apps.billing.limits.redis.standby import RETRY

    plan = limits._plans.of(scopes, limits._wall_ns())
    if not limits.is_up:
        raise LimitsUnavailable(headers=RETRY)
    asked = (
        int(Op.RESERVE),
        id_of(b"?"),  # no request has so short an id
        demand.tokens,
        str(demand.nano_usd),
        plan.quotas_raw,
        plan.budgets_raw,
        demand.output_tokens,
        True,
    )
    try:
        answer = await limits._tie.ask(*asked)
        if answer[0] == UNKNOWN:
            await limits._load_unknown(answer[1])
            answer = await limits._tie.ask(*asked)
    except LinkLost:
        raise LimitsUnavailable(headers=RETRY) from None
    if answer[0] != ADMITTED:
        raise limits._refusal(answer, plan, demand)
    return plan.headroom(answer)
