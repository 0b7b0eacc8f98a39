"""Any other CSV: whoever imports it says which column is the date, the model and the amount."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from apps.invoicing.bills import tables
from apps.invoicing.bills.lines import (
    Fault,
    Line,
    Options,
    Unreadable,
    amount_of,
    currency_of,
    day_of,
    model_of,
    quantity_of,
)

COLUMNS: Final = ("date", "model", "amount", "currency", "quantity")
NEEDED: Final = COLUMNS[:3]


def read(data: bytes, options: Options) -> Iterator[Line | Fault]:
    text = tables.text_of(tables.unpacked(data, options))
    unknown = sorted(set(options.mapping) - set(COLUMNS))
    if unknown:
        raise Unreadable(f"The mapping names {unknown[0]}; there are: {', '.join(COLUMNS)}.")
    names = {
        ours: tables.column(text, options.mapping.get(ours) or ours)
        for ours in COLUMNS
        if ours in NEEDED or options.mapping.get(ours)
    }
    return tables.each(tables.rows_of(text, options), partial(_row, names, options))


def _row(names: dict[str, str], options: Options, number: int, row: tables.Row) -> Line:
    comma = options.decimal_comma
    currency = row.get(names.get("currency", "currency"))
    return Line(
        number,
        day_of(row.get(names["date"]), options.zone, order=options.day_order),
        model_of(row.get(names["model"])),
        amount_of(row.get(names["amount"]), decimal_comma=comma),
        currency_of(currency, options),
        quantity_of(row.get(names.get("quantity", "")), decimal_comma=comma),
    )
