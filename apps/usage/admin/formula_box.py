"""How the cost of one request came about, line by line, by the function that billed it."""

from __future__ import annotations

from typing import NamedTuple

from apps.billing import pricing
from apps.billing.pricing.explain import conditions_in_words
from apps.usage import formula
from apps.usage.figures import count_text
from apps.usage.models import RequestLog
from chatvault.lib.money import format_usd

_PER = {1_000_000: " / 1M", 1_000: " / s", 1: " each"}


class FormulaLine(NamedTuple):
    """One row of the table; a total has a name and an amount alone."""

    name: str
    tokens: str
    rate: str
    cost: str
    is_total: bool = False


class Formula(NamedTuple):
    """`doubt`: why the lines do not sum to what was booked, if they do not."""

    lines: list[FormulaLine]
    conditions: list[str]
    doubt: str = ""


def formula_of(row: RequestLog, versions: formula.Versions) -> Formula:
    """Of a row without a price version only the counts are told."""
    versions.load([row])
    price, terms = versions.price_of(row), versions.terms_of(row)
    if price is None or row.usage_source == RequestLog.UsageSource.NONE:
        return Formula(_counts(row), [])
    known = terms if terms is not None else pricing.Terms()
    lines = formula.explain(row, price, known)
    bill = formula.bill(row, price, known)
    table = [_line(line) for line in lines if line.side == "cost"]
    table.append(_total("Cost", bill.cost_nano))
    if terms is not None and _is_charged_otherwise(lines):
        table += [_line(line) for line in lines if line.side == "charge" and line.kind != "cost"]
        table.append(_total("Charged", bill.charged_nano))
    return Formula(_even(table), _conditions(row, price), _doubt(row, bill, terms))


def _even(table: list[FormulaLine]) -> list[FormulaLine]:
    """With as many places in each amount, so that the column adds up to the eye."""
    most = max(len(line.cost.partition(".")[2]) for line in table)
    return [
        line._replace(cost=line.cost + "0" * (most - len(line.cost.partition(".")[2])))
        for line in table
    ]


def _is_charged_otherwise(lines: list[pricing.Line]) -> bool:
    return {line.kind for line in lines if line.side == "charge"} - {"cost", "rounding"} != set()


def _conditions(row: RequestLog, price: pricing.Price) -> list[str]:
    usage, tier = formula.usage_of(row), formula.service_tier_of(row)
    return conditions_in_words(usage, price, tier, row.started_at.timestamp())


def _doubt(row: RequestLog, bill: pricing.Bill, terms: pricing.Terms | None) -> str:
    if bill.cost_nano != row.cost_nano:
        return f"Booked was a cost of {format_usd(row.cost_nano)}."
    if terms is not None and bill.charged_nano != row.charged_nano:
        return (
            f"Booked was a charge of {format_usd(row.charged_nano)}: the tier was another one "
            "then, or the request is older than versions of tiers."
        )
    return ""


def _line(line: pricing.Line) -> FormulaLine:
    name, rate = line.what, ""
    quantity = count_text(line.quantity) if line.quantity else ""
    if line.kind == "per_second":
        quantity = f"{line.quantity / 1_000:g} s"
    if line.rate_nano:
        rate = format_usd(line.rate_nano) + _PER[line.per]
        if line.factor_ppm != pricing.PPM:
            rate += f" × {line.factor_ppm / 10_000:g} %"
    elif line.kind == "markup":
        rate = f"{line.factor_ppm / 10_000:+g} %"
    return FormulaLine(name, quantity, rate, _usd(line))


def _usd(line: pricing.Line) -> str:
    """The exact amount, however many places it needs."""
    text = f"{abs(line.usd):f}"
    if "." in text:
        text = text.rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{'-' if line.exact < 0 else ''}${whole}.{fraction.ljust(2, '0')}"


def _total(name: str, nano: int) -> FormulaLine:
    return FormulaLine(name, "", "", format_usd(nano), True)


def _counts(row: RequestLog) -> list[FormulaLine]:
    """All token classes of a price of nothing: their names and counts."""
    free = pricing.Price(id=0, model="", input=0, output=0)
    lines = pricing.explain(formula.usage_of(row), free, pricing.Terms())
    return [
        FormulaLine(line.what, count_text(line.quantity), "–", "–")
        for line in lines
        if line.side == "cost" and line.quantity
    ]
