"""Dated exchange rates: looked up by day, imported from CSV, applied to whole nano amounts.

A rate is what one unit of a currency is worth in USD. Amounts are integers before and after; one
rounding, half-up.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, date, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction

from apps.audit import trail
from apps.invoicing.bills.lines import Wrong, day_of
from apps.invoicing.errors import NoRate
from apps.invoicing.models import ExchangeRate
from chatvault.lib.errors import InvalidField
from chatvault.lib.money import divide_half_up

DOLLAR: Final = "USD"
MOST_BYTES: Final = 4 * 2**20
MOST_RATES: Final = 100_000
_PICO: Final = 10**ExchangeRate.PLACES
_QUANTUM: Final = Decimal(1).scaleb(-ExchangeRate.PLACES)
_MOST: Final = Decimal(10**11)
_MOST_SHOWN: Final = 20
_MONTHS: Final = "janfebmaraprmayjunjulaugsepoctnovdec"


class Dated(NamedTuple):
    """A rate and the day that it is of; `pico` is the rate × 10¹²."""

    pico: int
    day: date | None

    @property
    def rate(self) -> Decimal:
        return Decimal(self.pico).scaleb(-ExchangeRate.PLACES)


ONE: Final = Dated(_PICO, None)


def get_rate(currency: str, day: date) -> Dated:
    """The last known rate of the day or before, within CHATVAULT_INVOICING_RATE_MAX_AGE_DAYS.

    Raises NoRate.
    """
    if currency == DOLLAR:
        return ONE
    oldest = day - timedelta(days=settings.CHATVAULT.invoicing.rate_max_age_days)
    found = (
        ExchangeRate.objects.filter(currency=currency, day__lte=day, day__gte=oldest)
        .order_by("-day")
        .first()
    )
    if found is None:
        raise NoRate(
            f"There is no exchange rate of {currency} for {day:%Y-%m-%d} or the "
            f"{settings.CHATVAULT.invoicing.rate_max_age_days} days before it. "
            "Enter or import one under Exchange rates.",
            param="currency",
        )
    return Dated(int(found.rate.scaleb(ExchangeRate.PLACES)), found.day)


def to_usd(nano: int, rate: Dated) -> int:
    """Nano-units of the rate's currency as nano-USD."""
    return divide_half_up(nano * rate.pico, _PICO)


def from_usd(nano: int, rate: Dated) -> int:
    """Nano-USD as nano-units of the rate's currency."""
    return divide_half_up(nano * _PICO, rate.pico)


class Imported(NamedTuple):
    added: int
    changed: int
    unchanged: int


class _Given(NamedTuple):
    currency: str
    day: date
    rate: Decimal


def import_csv(text: str, *, source: str) -> Imported:
    """Take over rates: the ECB's table (a date, then a column for each currency, in units for one
    euro) or rows `currency, day, rate` in USD for one unit. All of it, or nothing.

    Raises InvalidField with the number of the first lines that are wrong.
    """
    if len(text.encode()) > MOST_BYTES:
        raise InvalidField(f"The list is larger than {MOST_BYTES // 2**20} MiB.")
    try:
        rows = [row for row in csv.reader(io.StringIO(text.lstrip("﻿")), strict=True) if any(row)]
    except csv.Error as error:
        raise InvalidField(f"It is not CSV: {error}.") from None
    if len(rows) < 2:
        raise InvalidField("The list needs a line of names and at least one of rates.")
    names = [cell.strip() for cell in rows[0]]
    given = _of_table(names, rows) if names[0].lower() == "date" else _of_list(names, rows)
    return _keep(given, source)


def _of_list(names: list[str], rows: list[list[str]]) -> list[_Given]:
    lower = [name.lower() for name in names]
    if not {"currency", "day", "rate"} <= set(lower):
        raise InvalidField("Columns must be currency, day and rate, or those of the ECB's table.")
    faults, found = [], []
    for number, row in enumerate(rows[1:], start=2):
        cells = dict(zip(lower, (cell.strip() for cell in row), strict=False))
        try:
            currency = _currency(cells.get("currency", ""))
            if currency == DOLLAR:
                raise Wrong("the dollar needs no rate")
            day = day_of(cells.get("day"), UTC)
            found.append(_Given(currency, day, _number(cells.get("rate", ""))))
        except Wrong as wrong:
            faults.append(f"line {number}: {wrong}")
    _refuse(faults)
    return found


def _of_table(names: list[str], rows: list[list[str]]) -> list[_Given]:
    """EUR = 1; a currency's worth in USD is the euro's in USD by its own of the euro."""
    columns = [_currency_or_none(name) for name in names]
    if DOLLAR not in columns:
        raise InvalidField("The ECB's table needs the column USD: rates are kept in USD.")
    faults, found = [], []
    for number, row in enumerate(rows[1:], start=2):
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=False) if name}
        try:
            day = _ecb_day(row[0].strip())
            euro = _number(cells.get(DOLLAR, ""))
            found.append(_Given("EUR", day, euro))
            for name, cell in cells.items():
                if name != DOLLAR and cell and cell.upper() != "N/A":
                    found.append(_Given(name, day, _number(str(_divide(euro, _number(cell))))))
        except Wrong as wrong:
            faults.append(f"line {number}: {wrong}")
    _refuse(faults)
    return found


def _ecb_day(text: str) -> date:
    """2026-10-30, or "30 October 2026" as the ECB's daily file writes it."""
    parts = text.split()
    if len(parts) == 3 and parts[1].isalpha():
        try:
            return date(int(parts[2]), _MONTHS.index(parts[1][:3].lower()) // 3 + 1, int(parts[0]))
        except ValueError:
            raise Wrong(f"the date cannot be read ({text[:30]!r})") from None
    return day_of(text, UTC)


def _divide(euro: Decimal, other: Decimal) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return (euro / other).quantize(_QUANTUM, rounding=ROUND_HALF_UP)


def _number(text: str) -> Decimal:
    try:
        rate = Decimal(text)
    except InvalidOperation:
        raise Wrong(f"the rate is not a number ({text[:30]!r})") from None
    if not rate.is_finite() or not 0 < rate < _MOST:
        raise Wrong(f"the rate must be a finite number above zero ({text[:30]!r})")
    exponent = rate.normalize().as_tuple().exponent
    if isinstance(exponent, int) and exponent < -ExchangeRate.PLACES:
        raise Wrong(f"the rate has more than {ExchangeRate.PLACES} decimal places")
    return rate


def _currency(text: str) -> str:
    found = _currency_or_none(text)
    if found is None:
        raise Wrong(f"the currency is not a code of three letters ({text[:30]!r})")
    return found


def _currency_or_none(text: str) -> str | None:
    name = text.strip().upper()
    return name if len(name) == 3 and name.isascii() and name.isalpha() else None


def _refuse(faults: list[str]) -> None:
    if faults:
        more = f"; and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        raise InvalidField(f"Nothing was imported: {'; '.join(faults[:_MOST_SHOWN])}{more}.")


@transaction.atomic
def _keep(given: Iterable[_Given], source: str) -> Imported:
    wanted: dict[tuple[str, date], Decimal] = {}
    for each in given:
        if wanted.setdefault((each.currency, each.day), each.rate) != each.rate:
            raise InvalidField(f"{each.currency} has two rates for {each.day:%Y-%m-%d}.")
    if len(wanted) > MOST_RATES:
        raise InvalidField(f"The list has more than {MOST_RATES:,} rates. Import it in parts.")
    days = [day for _, day in wanted]
    known = {
        (row.currency, row.day): row
        for row in ExchangeRate.objects.filter(day__gte=min(days), day__lte=max(days))
    }
    new = [
        ExchangeRate(currency=currency, day=day, rate=rate, source=source[:100])
        for (currency, day), rate in wanted.items()
        if (currency, day) not in known
    ]
    changed = [row for key, row in known.items() if key in wanted and row.rate != wanted[key]]
    for row in changed:
        row.rate, row.source = wanted[row.currency, row.day], source[:100]
    ExchangeRate.objects.bulk_create(new, batch_size=1_000)
    ExchangeRate.objects.bulk_update(changed, ["rate", "source"], batch_size=500)
    result = Imported(len(new), len(changed), len(wanted) - len(new) - len(changed))
    trail.record("exchangerate.imported", after={"source": source, **result._asdict()})
    return result
