"""What every format is read into, and how dates, amounts and currencies are read.

Amounts are exact decimals until the lines of a day and model are summed: one rounding, at the end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

MOST_BYTES: Final = 64 * 2**20
MOST_AMOUNT: Final = Decimal(9_000_000_000)
MOST_DIGITS: Final = 60
MOST_TEXT: Final = 200
FIRST_YEAR: Final = 2015
LAST_YEAR: Final = 2100
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_NUMBER: Final = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?")
_SLASHED: Final = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4})")


class Unreadable(Exception):
    """The file is not a bill of its format. Its text says why, and is shown."""


class Options(msgspec.Struct, frozen=True):
    """What whoever imports a bill says of it."""

    zone: tzinfo = UTC  # in which the provider counts days
    currency: str = ""  # empty: the file's, and USD where it names none
    mapping: Mapping[str, str] = {}  # generic only: our column -> the file's
    day_order: str = "ymd"  # generic only: of dates with slashes, "dmy" or "mdy"
    decimal_comma: bool = False
    most_rows: int = 1_000_000
    most_bytes: int = MOST_BYTES


class Line(msgspec.Struct, frozen=True):
    """One line of a bill. `model` is the provider's name for it; empty where the line names none.
    A line that is not for a model (a tax, a fee) says what it is in `aside`."""

    number: int
    day: date
    model: str
    amount: Decimal
    currency: str
    quantity: Decimal | None = None
    aside: str = ""


class Fault(msgspec.Struct, frozen=True):
    """A line that cannot be taken, and why."""

    number: int
    reason: str


class Wrong(ValueError):
    """A cell that cannot be read; its text says why."""


def amount_of(value: Any, *, what: str = "the amount", decimal_comma: bool = False) -> Decimal:
    """A finite decimal within bounds. Raises Wrong."""
    if isinstance(value, bool) or value is None:
        raise Wrong(f"{what} is missing")
    if isinstance(value, Decimal | int):
        found = Decimal(value)
    elif isinstance(value, float):
        found = Decimal(repr(value))
    else:
        found = _decimal(str(value).strip(), what, decimal_comma)
    if not found.is_finite():
        raise Wrong(f"{what} is not a finite number ({shown(value)})")
    if abs(found) > MOST_AMOUNT:
        raise Wrong(f"{what} is absurdly large ({shown(value)})")
    exponent = found.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MOST_DIGITS:
        raise Wrong(f"{what} has more than {MOST_DIGITS} decimal places")
    return found


def _decimal(text: str, what: str, decimal_comma: bool) -> Decimal:
    plain = text.replace(".", "").replace(",", ".") if decimal_comma else text
    if not text:
        raise Wrong(f"{what} is missing")
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity", "snan"):
        raise Wrong(f"{what} is not a finite number ({shown(text)})")
    if not _NUMBER.fullmatch(plain):
        raise Wrong(f"{what} is not a number ({shown(text)})")
    try:
        return Decimal(plain)
    except InvalidOperation:
        raise Wrong(f"{what} is not a number ({shown(text)})") from None


def quantity_of(value: Any, *, decimal_comma: bool = False) -> Decimal | None:
    """Empty is None. Raises Wrong, also for less than nothing."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        value = str(value)
    text = str(value).strip()
    plain = text.replace(".", "").replace(",", ".") if decimal_comma else text
    if not _NUMBER.fullmatch(plain):
        raise Wrong(f"the quantity is not a finite number ({shown(text)})")
    return Decimal(plain)


def day_of(value: Any, zone: tzinfo, *, order: str = "ymd") -> date:
    """The day in the provider's zone. Numbers are seconds since 1970. Raises Wrong."""
    if isinstance(value, bool) or value is None or value == "":
        raise Wrong("the date is missing")
    found = _day(value, zone, order)
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Wrong(f"the date is out of range ({shown(value)})")
    return found


def _day(value: Any, zone: tzinfo, order: str) -> date:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(zone).date()
    if isinstance(value, date):
        return value
    text = str(value).strip()
    try:
        if re.fullmatch(r"\d{9,11}", text):
            return datetime.fromtimestamp(int(text), UTC).astimezone(zone).date()
        if found := _SLASHED.fullmatch(text.split(" ")[0]):
            first, second, year = (int(part) for part in found.groups())
            day, month = (first, second) if order == "dmy" else (second, first)
            if order == "ymd":
                raise Wrong(f"is the date {shown(text)} day first or month first?")
            return date(year, month, day)
        if len(text) <= 10:
            return date.fromisoformat(text)
        at = datetime.fromisoformat(text)
        return at.astimezone(zone).date() if at.tzinfo else at.date()
    except Wrong:
        raise
    except (ValueError, OverflowError, OSError):
        raise Wrong(f"the date cannot be read ({shown(text)})") from None


def currency_of(value: Any, options: Options) -> str:
    """Three capital letters. Raises Wrong, also for another currency than was told."""
    text = str(value or options.currency or "USD").strip().upper()
    if not _CURRENCY.fullmatch(text):
        raise Wrong(f"the currency is not a code of three letters ({shown(value)})")
    if options.currency and text != options.currency:
        raise Wrong(f"the line is in {text}, the bill in {options.currency}")
    return text


def model_of(value: Any) -> str:
    """A name as it can be stored. Raises Wrong."""
    text = " ".join(str(value or "").split())
    if len(text) > MOST_TEXT:
        raise Wrong(f"the model's name is longer than {MOST_TEXT} characters")
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise Wrong("the model's name holds what is no letter")
    return text


def shown(value: Any) -> str:
    """A value in a message: short, on one line."""
    text = repr(str(value))
    return text if len(text) <= 42 else f"{text[:38]}…'"
