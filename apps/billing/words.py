"""Prices, quotas and budgets as people say them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from apps.billing import pricing
from apps.billing.limits.periods import period_bounds
from apps.billing.models import Budget, Price, Quota
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import NANO_PER_USD, divide_half_up, format_usd, places_of

EXAMPLE_INPUT: Final = 10_000
EXAMPLE_OUTPUT: Final = 1_000
_DIGITS: Final = 4
_SPANS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def short_usd(nano: int) -> str:
    """For lists and cards: to the cent; below a dollar four significant digits, so that a small
    sum is never shown as nothing."""
    if abs(nano) >= NANO_PER_USD:
        return format_usd(nano, 2)
    unit = int(10 ** max(len(str(abs(nano))) - _DIGITS, 0))
    return format_usd(divide_half_up(nano, unit) * unit)


def short_places(nanos: Iterable[int | None]) -> int:
    """How many places a column needs in lists and cards: to the cent, and below a dollar as many
    as show three digits of the smallest."""
    amounts = [abs(nano) for nano in nanos if nano]
    needed = 12 - len(str(min(amounts, default=NANO_PER_USD)))
    return max(2, min(places_of(amounts), needed))


def example_nano(input_nano: int, output_nano: int, per_request_nano: int = 0) -> int:
    """What 10,000 prompt tokens and 1,000 completion tokens cost."""
    price = pricing.Price(0, "", input_nano, output_nano, per_request=per_request_nano)
    usage = Usage(input_tokens=EXAMPLE_INPUT, output_tokens=EXAMPLE_OUTPUT)
    return pricing.bill(usage, price, pricing.Terms()).cost_nano


def example_of(price: Price) -> str:
    return format_usd(example_nano(price.input_nano, price.output_nano, price.per_request_nano))


def span(seconds: int) -> str:
    """A length of time in the largest unit that it is a whole number of, but minutes as
    seconds: "60 seconds", "1 hour", "7 days"."""
    for length, name in _SPANS:
        if seconds % length == 0 and (seconds >= length * 2 or length != 60):
            count = seconds // length
            if count:
                return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} seconds"


def quota_in_words(quota: Quota) -> str:
    """Such as "600 requests in any 60 seconds"."""
    if quota.unit == Quota.Unit.CONCURRENCY:
        return f"{quota.ceiling:,} requests at the same time"
    return f"{quota.ceiling:,} {quota.unit.replace('_', ' ')} in any {span(quota.window_s)}"


def budget_in_words(budget: Budget) -> str:
    """Such as "$10.00 in each calendar month (UTC)"."""
    return f"{format_usd(budget.amount_nano)} {period_in_words(budget)}"


def period_in_words(budget: Budget) -> str:
    """Such as "in each calendar month (Europe/Berlin)"."""
    period, days, zone = Budget.Period(budget.period), budget.length_days, budget.time_zone
    if period == Budget.Period.TOTAL:
        return "in all, for ever"
    if period == Budget.Period.ROLLING:
        return f"in any {span(days * 86_400)}"
    if period == Budget.Period.CUSTOM:
        return f"in every {span(days * 86_400)} from {budget.starts_on} on ({zone})"
    return f"{_EACH[period]} ({zone})"


def stage_in_words(budget: Budget, share: float) -> str:
    """What happens to requests while so much of the amount is used."""
    reached = [one for one in budget.stages.all() if share * 100 >= one.at_percent]
    if not reached:
        return "refuses" if not budget.stages.all() and share >= 1 else "–"
    last = reached[-1]
    if last.action == "throttle":
        return f"slowed to {last.requests_per_minute} a minute ({last.at_percent} %)"
    if last.action == "degrade":
        return f"served by {last.alias} ({last.at_percent} %)"
    return f"{_STAGES[last.action]} ({last.at_percent} %)"


_STAGES: Final = {"observe": "counts", "warn": "warns", "refuse": "refuses"}


def reset_in_words(budget: Budget, now: datetime) -> str:
    """When the next window begins, in the budget's own time zone."""
    if budget.period == Budget.Period.TOTAL:
        return "never"
    if budget.period == Budget.Period.ROLLING:
        return "rolls on"
    _, end_s = period_bounds(budget.shape, int(now.timestamp()))
    zone = ZoneInfo(budget.time_zone)
    return f"{datetime.fromtimestamp(end_s, zone):%Y-%m-%d %H:%M} ({budget.time_zone})"


_EACH: Final = {
    Budget.Period.DAY: "on each day",
    Budget.Period.WEEK: "in each week",
    Budget.Period.MONTH: "in each calendar month",
    Budget.Period.QUARTER: "in each quarter",
}


def percent(ppm: int) -> str:
    """Parts per million such as "+12.5 %"."""
    return f"{(Decimal(ppm) / 10_000).normalize():+f} %"


def charged_on_a_dollar(markup_ppm: int) -> str:
    """What a client pays for what costs $1.00 at list price."""
    price = pricing.Price(0, "", 0, 0, per_request=NANO_PER_USD)
    bill = pricing.bill(Usage(), price, pricing.Terms(markup_ppm=markup_ppm))
    return format_usd(bill.charged_nano)
