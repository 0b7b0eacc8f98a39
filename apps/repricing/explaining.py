"""How an amount comes about, in lines that people read."""

from __future__ import annotations

from apps.billing import pricing
from apps.repricing.again import usage_of
from apps.usage.models import RequestLog
from chatvault.lib.money import format_usd


def lines(row: RequestLog, price: pricing.Price | None, terms: pricing.Terms) -> list[str]:
    """The formula of one request by one price version."""
    if price is None:
        return ["It was not priced."]
    bill = pricing.bill(usage_of(row), price, terms)
    return [
        f"price version {price.id} of {price.model}",
        f"{row.input_tokens:,} tokens in at {format_usd(price.input)} / 1M",
        f"{row.output_tokens:,} tokens out at {format_usd(price.output)} / 1M",
        f"cost {format_usd(bill.cost_nano)}, "
        f"charged {format_usd(bill.charged_nano)} ({terms.markup_ppm / 10_000:+.4g} %)",
    ]
