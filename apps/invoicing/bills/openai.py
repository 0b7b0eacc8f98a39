"""OpenAI: `GET /v1/organization/costs` grouped by line item, or the dashboard's CSV of it.

A line item is "gpt-4o-mini-2024-07-18, input": the model comes before the comma. Without
`group_by=line_item` a line names no model, and stays unmatched.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

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
    quantity_of,
)


def read(data: bytes, options: Options) -> Iterator[Line | Fault]:
    content = tables.unpacked(data, options)
    if tables.is_json(content):
        return _of_json(content, options)
    return _of_csv(tables.text_of(content), options)


def _of_json(content: bytes, options: Options) -> Iterator[Line | Fault]:
    for number, bucket, result in tables.buckets_of(tables.json_of(content), options):
        amount = result.get("amount")
        try:
            if not isinstance(amount, dict):
                raise Wrong("the amount is missing")
            yield Line(
                number,
                day_of(bucket.get("start_time"), options.zone),
                _model(result.get("line_item")),
                amount_of(amount.get("value")),
                currency_of(amount.get("currency"), options),
                quantity_of(result.get("quantity")),
            )
        except Wrong as wrong:
            yield Fault(number, str(wrong))


def _of_csv(text: str, options: Options) -> Iterator[Line | Fault]:
    names = {
        "day": tables.column(text, "start_time", "start_time_iso", "date"),
        "amount": tables.column(text, "amount_value", "amount", "cost"),
        "item": tables.column(text, "line_item", "name", "model"),
    }
    return tables.each(tables.rows_of(text, options), partial(_row, names, options))


def _row(names: dict[str, str], options: Options, number: int, row: tables.Row) -> Line:
    return Line(
        number,
        day_of(row.get(names["day"]), options.zone),
        _model(row.get(names["item"])),
        amount_of(row.get(names["amount"])),
        currency_of(row.get("amountcurrency") or row.get("currency"), options),
        quantity_of(row.get("quantity")),
    )


def _model(item: object) -> str:
    return model_of(str(item or "").partition(",")[0])
