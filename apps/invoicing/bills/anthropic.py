"""Anthropic: `GET /v1/organizations/cost_report` grouped by description, or the console's CSV.

The API gives amounts in cents, as decimal text; the CSV in USD. Costs without a model (web search,
code execution) are asides.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Final

from apps.invoicing.bills import tables
from apps.invoicing.bills.lines import (
    Fault,
    Line,
    Options,
    Wrong,
    amount_of,
    currency_of,
    day_of,
    model_of,
)

_CENTS: Final = Decimal("0.01")
_NOT_TOKENS: Final = {
    "web_search": "web search",
    "code_execution": "code execution",
    "session_usage": "sessions",
}


def read(data: bytes, options: Options) -> Iterator[Line | Fault]:
    content = tables.unpacked(data, options)
    if tables.is_json(content):
        return _of_json(content, options)
    return _of_csv(tables.text_of(content), options)


def _of_json(content: bytes, options: Options) -> Iterator[Line | Fault]:
    for number, bucket, result in tables.buckets_of(tables.json_of(content), options):
        try:
            model = model_of(result.get("model"))
            yield Line(
                number,
                day_of(bucket.get("starting_at"), options.zone),
                model,
                amount_of(result.get("amount")) * _CENTS,
                currency_of(result.get("currency"), options),
                aside="" if model else _aside(result.get("cost_type")),
            )
        except Wrong as wrong:
            yield Fault(number, str(wrong))


def _of_csv(text: str, options: Options) -> Iterator[Line | Fault]:
    names = {
        "day": tables.column(text, "usage_date_utc", "usage_date", "date"),
        "amount": tables.column(text, "cost_usd", "cost"),
        "model": tables.column(text, "model", "model_version"),
    }
    return tables.each(tables.rows_of(text, options), partial(_row, names, options))


def _row(names: dict[str, str], options: Options, number: int, row: tables.Row) -> Line:
    model = model_of(row.get(names["model"]))
    return Line(
        number,
        day_of(row.get(names["day"]), options.zone),
        model,
        amount_of(row.get(names["amount"])),
        currency_of("USD" if names["amount"] == "costusd" else row.get("currency"), options),
        aside="" if model else _aside(row.get("costtype")),
    )


def _aside(kind: object) -> str:
    return _NOT_TOKENS.get(str(kind or ""), "")
