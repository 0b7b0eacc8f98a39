"""Azure: a cost export, actual cost. Only meters of Azure OpenAI and Foundry models are read.

Meters are called "gpt-4o-mini-0718-Inp-glbl Tokens" or "gpt 4o 0806 Output regional Tokens": the
model is what comes before the direction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Final

from apps.invoicing.bills import tables
from apps.invoicing.bills.lines import (
    Fault,
    Line,
    Options,
    amount_of,
    currency_of,
    day_of,
    model_of,
    quantity_of,
)

_OURS: Final = ("openai", "foundry", "cognitive services", "azure ai")
_TAIL: Final = re.compile(
    r"[-_ ](inp|inpt|input|outp|outpt|output|opt|cached|cchd|batch|embedding|img|image|aud|audio|"
    r"txt|text|tokens?|glbl|global|regnl|regional|dz|datazone)\b.*$",
    re.I,
)


def read(data: bytes, options: Options) -> Iterator[Line | Fault]:
    text = tables.text_of(tables.unpacked(data, options))
    names = {
        "day": tables.column(text, "date", "usageDate", "usageDateTime", "chargePeriodStart"),
        "amount": tables.column(
            text,
            "costInBillingCurrency",
            "preTaxCost",
            "cost",
            "billedCost",
            "costInPricingCurrency",
        ),
        "currency": tables.column(text, "billingCurrency", "billingCurrencyCode", "currency"),
        "meter": tables.column(text, "meterName", "meter", "skuMeter"),
        "category": tables.column(text, "meterCategory", "serviceName", "consumedService"),
    }
    return tables.each(tables.rows_of(text, options), partial(_row, names, options))


def _row(names: dict[str, str], options: Options, number: int, row: tables.Row) -> Line | None:
    about = f"{row.get(names['category'])} {row.get('metersubcategory')}".lower()
    if not any(word in about for word in _OURS):
        return None
    kind = str(row.get("chargetype") or "usage").lower()
    return Line(
        number,
        day_of(row.get(names["day"]), options.zone, order="mdy"),
        model_of(_TAIL.sub("", str(row.get(names["meter"]) or ""))),
        amount_of(row.get(names["amount"])),
        currency_of(row.get(names["currency"]), options),
        quantity_of(row.get("quantity")),
        aside="" if kind == "usage" else kind[:40],
    )
