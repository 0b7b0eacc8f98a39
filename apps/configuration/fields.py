"""Kinds of fields in the configuration document: how each is read, checked and written."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db.models import Model

from apps.configuration.problems import Wrong
from chatvault.lib.money import nano_from_usd, usd_from_nano
from chatvault.lib.names import NAME_PATTERN


@dataclass(frozen=True, kw_only=True)
class Field(ABC):
    """One field of an item. `attr` is the model's attribute when it has another name; `default`
    is what an item has without the field, and is not written out."""

    name: str
    attr: str = ""
    required: bool = False
    default: Any = None

    @property
    def attribute(self) -> str:
        return self.attr or self.name

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The model's value for a document's. Raises Wrong."""

    def write(self, value: Any) -> Any:
        """The document's value for a model's."""
        return value

    def of(self, row: Model) -> Any:
        """The model's value of a row."""
        return getattr(row, self.attribute)

    def references(self, value: Any) -> tuple[tuple[str, str], ...]:
        """(section, name) of every item that a read value points at."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Text(Field):
    max_length: int = 255
    default: Any = ""

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong(f"This must be text, not {kind_of(value)}.", "Put it into quotes.")
        if len(value) > self.max_length:
            raise Wrong(f"This is longer than {self.max_length} characters.", "Shorten it.")
        if any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in value):
            raise Wrong("This has control characters in it.", "Write one line of plain text.")
        if self.required and not value.strip():
            raise Wrong("This is empty.", "Write a value.")
        return value


@dataclass(frozen=True, kw_only=True)
class Name(Text):
    max_length: int = 100
    required: bool = True

    def read(self, value: Any) -> str:
        text = super().read(value)
        if not re.match(NAME_PATTERN, text):
            raise Wrong(
                "This is not a name.",
                "Use letters, digits and . _ : / @ + - or spaces inside; begin and end with a "
                "letter or digit; at most 100 of them.",
            )
        return text


@dataclass(frozen=True, kw_only=True)
class Flag(Field):
    default: Any = True

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Wrong(f"This must be true or false, not {kind_of(value)}.", "Write true.")
        return value


@dataclass(frozen=True, kw_only=True)
class Whole(Field):
    """A whole number from `least` to `most`; null where `nullable`."""

    least: int = 0
    most: int = 2**31 - 1
    nullable: bool = False

    def read(self, value: Any) -> int | None:
        if value is None and self.nullable:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"This must be a whole number, not {kind_of(value)}.", "Write digits.")
        if not self.least <= value <= self.most:
            raise Wrong(
                f"This is not within {self.least} and {self.most}.", "Write a number that is."
            )
        return value


@dataclass(frozen=True, kw_only=True)
class Seconds(Field):
    """More than zero, at most a day; null for the default."""

    def read(self, value: Any) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(f"This must be a number of seconds, not {kind_of(value)}.", "Write digits.")
        if not (math.isfinite(value) and 0 < value <= 86_400):
            raise Wrong("This is not more than 0 and at most 86400.", "Write seconds.")
        return float(value)


@dataclass(frozen=True, kw_only=True)
class Choice(Field):
    choices: tuple[str, ...]

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise Wrong("This is not one of the values.", f"Write {' or '.join(self.choices)}.")
        return value


@dataclass(frozen=True, kw_only=True)
class Usd(Field):
    """An amount in USD, written as text; nano-USD in the model."""

    nullable: bool = False
    least: int = 0

    def read(self, value: Any) -> int | None:
        if value is None and self.nullable:
            return None
        try:
            if not isinstance(value, str | int | Decimal) or isinstance(value, bool):
                raise ValueError(f"this must be text, not {kind_of(value)}")
            nano = nano_from_usd(value.strip() if isinstance(value, str) else value)
        except ValueError as error:
            text = str(error)
            raise Wrong(
                f"{text[:1].upper()}{text[1:]}.", 'Write USD as quoted text, like "0.15".'
            ) from None
        if nano < self.least:
            raise Wrong("The amount is too small.", _at_least(self.least))
        return nano

    def write(self, value: Any) -> Any:
        return None if value is None else plain(usd_from_nano(value))


def _at_least(nano: int) -> str:
    return (
        f"Write {plain(usd_from_nano(nano))} or more."
        if nano
        else "Write one that is not negative."
    )


@dataclass(frozen=True, kw_only=True)
class Percent(Field):
    """A Decimal with four places, written as text, from -100 up."""

    default: Any = Decimal(0)

    def read(self, value: Any) -> Decimal:
        try:
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise InvalidOperation
            percent = Decimal(value.strip() if isinstance(value, str) else value)
            if not (percent.is_finite() and percent == percent.quantize(Decimal("0.0001"))):
                raise InvalidOperation
        except InvalidOperation:
            raise Wrong(
                "This is not a percentage of at most four decimal places.",
                'Write quoted text, like "12.5".',
            ) from None
        if not -100 <= percent < 100_000:
            raise Wrong("This is not within -100 and 99999.", "Write a percentage that is.")
        return percent

    def write(self, value: Any) -> str:
        return plain(value)


@dataclass(frozen=True, kw_only=True)
class Moment(Field):
    """An instant with its time zone, as ISO 8601; null for never."""

    def read(self, value: Any) -> datetime | None:
        if value is None:
            return None
        moment = value
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                moment = None
        if not isinstance(moment, datetime) or moment.tzinfo is None:
            raise Wrong(
                "This is not a moment with a time zone.", 'Write it like "2027-01-31T00:00:00Z".'
            )
        return moment

    def write(self, value: Any) -> Any:
        return value.isoformat() if isinstance(value, date) else value


@dataclass(frozen=True, kw_only=True)
class Day(Field):
    """A calendar day as ISO 8601; null for none."""

    def read(self, value: Any) -> date | None:
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            raise Wrong("This is no day.", 'Write it like "2027-01-31".') from None

    def write(self, value: Any) -> Any:
        return value.isoformat() if isinstance(value, date) else value


@dataclass(frozen=True, kw_only=True)
class Mapped(Field):
    """A JSON object."""

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Wrong(f"This must be a mapping, not {kind_of(value)}.", "Write {name: value}.")
        return {str(key): _json(part) for key, part in value.items()}


@dataclass(frozen=True, kw_only=True)
class Ref(Field):
    """The name of an item of another section; `to` is that section's name."""

    to: str
    nullable: bool = False

    def read(self, value: Any) -> str | None:
        if value is None and self.nullable:
            return None
        return Text(name=self.name, required=True).read(value)

    def of(self, row: Model) -> Any:
        related = getattr(row, self.attribute)
        return related.name if related is not None else None

    def references(self, value: Any) -> tuple[tuple[str, str], ...]:
        return () if value is None else ((self.to, value),)


@dataclass(frozen=True, kw_only=True)
class Refs(Field):
    """Names of items of another section, in any order."""

    to: str
    default: Any = frozenset()

    def read(self, value: Any) -> frozenset[str]:
        if not isinstance(value, list | tuple) or not all(isinstance(n, str) for n in value):
            raise Wrong("This must be a list of names.", "Write [first, second].")
        if len(set(value)) != len(value):
            raise Wrong("A name is here twice.", "Write each name once.")
        return frozenset(value)

    def write(self, value: Any) -> Any:
        return sorted(value)

    def of(self, row: Model) -> Any:
        return frozenset(related.name for related in getattr(row, self.attribute).all())

    def references(self, value: Any) -> tuple[tuple[str, str], ...]:
        return tuple((self.to, name) for name in sorted(value))


def plain(amount: Decimal) -> str:
    """As people write it: no exponent, no zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def kind_of(value: Any) -> str:
    """What a value is, in the words of documents."""
    names = {
        bool: "true or false", int: "a whole number", float: "a number with a point",
        str: "text", type(None): "nothing", datetime: "a moment", date: "a date",
    }  # fmt: skip
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else names.get(type(value), "that")


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json(part) for part in value]
    if isinstance(value, str):
        return Text(name="", max_length=10_000).read(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise Wrong(f"There is {kind_of(value)} in it.", "Use text, numbers, lists and mappings.")
