"""Prices, quotas and budgets as people say them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from apps.billing import pricing
from apps.billing.models import Budget, Price, Quota
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import NANO_PER_USD, divide_half_up, format_usd

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
    when = {
        Budget.Period.DAY: "on each day (UTC)",
        Budget.Period.MONTH: "in each calendar month (UTC)",
        Budget.Period.TOTAL: "in all, for ever",
    }[Budget.Period(budget.period)]
    return f"{format_usd(budget.amount_nano)} {when}"


def percent(ppm: int) -> str:
    """Parts per million such as "+12.5 %"."""
    return f"{(Decimal(ppm) / 10_000).normalize():+f} %"


def charged_on_a_dollar(markup_ppm: int) -> str:
    """What a client pays for what costs $1.00 at list price."""
    price = pricing.Price(0, "", 0, 0, per_request=NANO_PER_USD)
    bill = pricing.bill(Usage(), price, pricing.Terms(markup_ppm=markup_ppm))
    return format_usd(bill.charged_nano)
