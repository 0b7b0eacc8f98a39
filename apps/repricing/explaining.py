"""How an amount comes about, in lines that people read."""

from __future__ import annotations

from apps.billing import pricing
from apps.usage import formula
from apps.usage.models import RequestLog
from chatvault.lib.money import format_usd


def lines(row: RequestLog, price: pricing.Price | None, terms: pricing.Terms) -> list[str]:
    """The formula of one request by one price version."""
    if price is None:
        return ["It was not priced."]
    bill = formula.bill(row, price, terms)
    return [
        f"Price version {price.id} of {price.model}",
        *(_told(line) for line in formula.explain(row, price, terms)),
        f"cost {format_usd(bill.cost_nano)}, charged {format_usd(bill.charged_nano)}",
    ]


def _told(line: pricing.Line) -> str:
    amount = f"{line.usd:.12f}".rstrip("0").rstrip(".") or "0"
    if not line.quantity:
        return f"{line.what}: ${amount}"
    per = f" / {line.per:,}" if line.per > 1 else ""
    factor = f" × {line.factor_ppm / pricing.PPM:g}" if line.factor_ppm != pricing.PPM else ""
    rate = format_usd(line.rate_nano)
    return f"{line.what}: {line.quantity:,} × {rate}{per}{factor} = ${amount}"
