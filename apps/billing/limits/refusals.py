"""The errors of a refused reservation: what was reached, by how much, and when to come back."""

from __future__ import annotations

from apps.billing.limits.contract import BudgetLimit, Demand, Headroom, QuotaLimit
from apps.billing.limits.headers import SCOPE_HEADER, ratelimit_headers, scope_text
from apps.billing.limits.windows import NEVER_NS
from chatvault.lib.errors import BudgetExhausted, BudgetHeld, RateLimited
from chatvault.lib.money import format_usd

BUSY_NS = 1_000_000_000  # when a request in flight must end first, nobody knows when it will
_PERIODS = {
    "day": "daily", "week": "weekly", "month": "monthly", "quarter": "quarterly",
    "rolling": "rolling", "custom": "current", "total": "total",
}  # fmt: skip


def _which(limit: BudgetLimit) -> str:
    return _PERIODS[limit.period.partition("@")[0].partition(":")[0]]


def exhausted(kind: str, limit: BudgetLimit, most: int, spent: int, demand: int) -> BudgetExhausted:
    """`most` is what may be spent in the window of now."""
    refusal = BudgetExhausted(
        f"The {_which(limit)} budget of this {kind} is {format_usd(most)}: "
        f"{format_usd(spent)} is spent and the request can cost up to {format_usd(demand)}.",
        headers={"x-should-retry": "false"},
    )
    refusal.scope = kind
    return refusal


def held(kind: str, limit: BudgetLimit, most: int, spent: int, held: int) -> BudgetHeld:
    refusal = BudgetHeld(
        f"The {_which(limit)} budget of this {kind} is {format_usd(most)}: "
        f"{format_usd(spent)} is spent and requests in flight hold {format_usd(held)}. "
        "Try again shortly.",
        headers=_retry(BUSY_NS),
    )
    refusal.scope = kind
    return refusal


def demanded(unit: str, demand: Demand) -> int:
    """How much of the unit the request can use."""
    if unit == "tokens":
        return demand.tokens
    if unit == "input_tokens":
        return demand.tokens - demand.output_tokens
    return demand.output_tokens if unit == "output_tokens" else 1


def limited(  # noqa: PLR0917
    kind: str,
    quota: QuotaLimit,
    ceiling: int,
    wait_ns: int,
    headroom: Headroom,
    demand: Demand,
) -> RateLimited:
    """`wait_ns` NEVER_NS: the demand alone passes the ceiling, so a retry cannot help."""
    headers = {name.decode(): value.decode() for name, value in ratelimit_headers(headroom)}
    headers[SCOPE_HEADER] = scope_text(headroom, refused=kind)
    if quota.unit == "concurrency":
        limit = f"This {kind} may have {ceiling} requests in flight at a time"
    else:
        unit = quota.unit.replace("_", " ")
        limit = f"This {kind} may use {ceiling} {unit} per {quota.window_s} s"
    if wait_ns == NEVER_NS:
        text = f"{limit}, and the request alone can use {demanded(quota.unit, demand)}."
        more = {"x-should-retry": "false"}
    else:
        more = _retry(wait_ns)
        text = f"{limit}. Try again in {more['retry-after']} s."
    refusal = RateLimited(text, headers={**headers, **more}, quota_id=quota.id)
    refusal.scope = kind
    return refusal


def _retry(wait_ns: int) -> dict[str, str]:
    wait_ms = -(-wait_ns // 1_000_000)
    return {"retry-after": str(-(-wait_ms // 1000)), "retry-after-ms": str(wait_ms)}
