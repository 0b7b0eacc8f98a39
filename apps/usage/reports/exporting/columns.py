"""The columns of exported requests: how each is called, and what it is made of.

A column is made in two ways: by PostgreSQL, which writes whole files of CSV itself, and here. A
test holds that both give the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from chatvault.lib.money import usd_from_nano

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula; such a cell gets a quote before it."""
_FORMULA_CODES: Final = ", ".join(str(ord(sign)) for sign in FORMULA)
_HOUR: Final = timedelta(hours=1)


class Kind(StrEnum):
    """How a value is written."""

    TEXT = "text"
    WHOLE = "whole"  # a number without a fraction
    FLAG = "flag"
    MONEY = "money"  # nano-USD, written as USD with nine places
    INSTANT = "instant"
    UUID = "uuid"
    JSON = "json"


class Make(StrEnum):
    """What is made of a field."""

    ITSELF = "itself"
    SUM = "sum"  # of all fields
    DIFFERENCE = "difference"  # the first half of the fields less the second half
    HOUR = "hour"  # in which it lies
    HOUR_END = "hour_end"
    MONTH = "month"
    MONTH_END = "month_end"
    CONSTANT = "constant"


@dataclass(frozen=True)
class Column:
    """`fields` are those of the statement; `constant` is the value where there are none, or where
    the field is empty."""

    name: str
    kind: Kind
    fields: tuple[str, ...] = ()
    make: Make = Make.ITSELF
    constant: str | None = None

    def value(self, row: dict[str, Any]) -> Any:
        """From a row as the database gives it: a str, int, bool, datetime, dict or None."""
        if self.make == Make.CONSTANT:
            return self.constant
        found = [_plain(row[name], self.kind) for name in self.fields]
        match self.make:
            case Make.SUM:
                return sum(each or 0 for each in found)
            case Make.DIFFERENCE:
                half = len(found) // 2
                return sum(n or 0 for n in found[:half]) - sum(n or 0 for n in found[half:])
            case Make.ITSELF:
                return found[0] if found[0] not in (None, "") else self.constant
        return _time(found[0], self.make)

    def postgres(self) -> str:
        """The text of a CSV cell in SQL, as `cell` makes it here."""
        if self.make == Make.CONSTANT:
            return "NULL" if self.constant is None else f"'{self.constant}'"
        fields = [f"x.{name}" for name in self.fields]
        found = fields[0]
        match self.make:
            case Make.SUM:
                found = _sum_sql(fields)
            case Make.DIFFERENCE:
                half = len(fields) // 2
                found = f"({_sum_sql(fields[:half])} - {_sum_sql(fields[half:])})"
            case Make.HOUR | Make.HOUR_END | Make.MONTH | Make.MONTH_END:
                return _instant_sql(_TIMES[self.make].format(found))
        return _KINDS[self.kind](found, self.constant)


def cell(value: Any, kind: Kind) -> str:
    """A value as text for CSV, that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    match kind:
        case Kind.MONEY:
            return f"{usd_from_nano(value):.9f}"
        case Kind.INSTANT:
            return instant_text(value)
        case Kind.FLAG:
            return "true" if value else "false"
        case Kind.JSON:
            return json.dumps(value, ensure_ascii=False)
        case Kind.TEXT:
            return f"'{value}" if value.startswith(FORMULA) else str(value)
    return str(value)


def json_value(value: Any, kind: Kind) -> Any:
    """For JSON: money as text, so that nobody reads it as a float."""
    if value is None:
        return None
    if kind == Kind.MONEY:
        return f"{usd_from_nano(value):.9f}"
    return instant_text(value) if kind == Kind.INSTANT else value


def arrow_value(value: Any, kind: Kind) -> Any:
    """For Parquet: exact decimals."""
    if value is None:
        return None
    if kind == Kind.MONEY:
        return Decimal(value).scaleb(-9)
    return json.dumps(value, ensure_ascii=False) if kind == Kind.JSON else value


def instant_text(at: datetime) -> str:
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _plain(value: Any, kind: Kind) -> Any:
    """SQLite has texts and numbers only."""
    if value is None:
        return None
    match kind:
        case Kind.UUID:
            return str(value if isinstance(value, UUID) else UUID(value))
        case Kind.INSTANT if isinstance(value, str):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        case Kind.FLAG:
            return bool(value)
        case Kind.JSON if isinstance(value, str):
            return json.loads(value)
        case Kind.WHOLE | Kind.MONEY:
            return int(value)
    return value


def _time(at: datetime, make: Make) -> datetime:
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if make in (Make.HOUR, Make.HOUR_END):
        return hour + _HOUR if make == Make.HOUR_END else hour
    month = hour.replace(day=1, hour=0)
    return month if make == Make.MONTH else (month + timedelta(days=32)).replace(day=1)


_TIMES: Final = {
    Make.HOUR: "date_trunc('hour', {} AT TIME ZONE 'UTC')",
    Make.HOUR_END: "(date_trunc('hour', {} AT TIME ZONE 'UTC') + interval '1 hour')",
    Make.MONTH: "date_trunc('month', {} AT TIME ZONE 'UTC')",
    Make.MONTH_END: "(date_trunc('month', {} AT TIME ZONE 'UTC') + interval '1 month')",
}


def _sum_sql(fields: list[str]) -> str:
    return "(" + " + ".join(f"COALESCE({each}, 0)" for each in fields) + ")"


def _instant_sql(local: str) -> str:
    return f'to_char({local}, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'


def _text_sql(field: str, constant: str | None) -> str:
    told = f"NULLIF({field}, '')"
    if constant is not None:
        told = f"COALESCE({told}, '{constant}')"
    return f"CASE WHEN ascii({field}) IN ({_FORMULA_CODES}) THEN '''' || {field} ELSE {told} END"


_KINDS: Final = {
    Kind.TEXT: _text_sql,
    Kind.WHOLE: lambda field, _: field,
    Kind.FLAG: lambda field, _: f"CASE WHEN {field} THEN 'true' ELSE 'false' END",
    Kind.MONEY: lambda field, _: f"{field} * 0.000000001",
    Kind.INSTANT: lambda field, _: _instant_sql(f"{field} AT TIME ZONE 'UTC'"),
    Kind.UUID: lambda field, _: field,
    Kind.JSON: lambda field, _: field,
}


def _same(kind: Kind, *names: str) -> list[Column]:
    return [Column(name, kind, (name,)) for name in names]


def _called(name: str, kind: Kind, field: str) -> Column:
    return Column(name, kind, (field,))


CHANGES: Final = frozenset({"cost_change", "charged_change"})
"""Fields that come from adjustments in the ledger and not from the request's row."""


USAGE: Final[tuple[Column, ...]] = (
    *_same(Kind.UUID, "request_id"),
    *_same(Kind.INSTANT, "started_at"),
    *_same(Kind.WHOLE, "team_id"),
    _called("team", Kind.TEXT, "team_name"),
    *_same(Kind.WHOLE, "client_id"),
    _called("client", Kind.TEXT, "client_name"),
    *_same(Kind.WHOLE, "key_id"),
    _called("key", Kind.TEXT, "key_name"),
    *_same(Kind.WHOLE, "user_id"),
    _called("user", Kind.TEXT, "user_name"),
    *_same(Kind.WHOLE, "application_id"),
    *_same(Kind.TEXT, "alias"),
    *_same(Kind.WHOLE, "deployment_id"),
    _called("deployment", Kind.TEXT, "deployment_name"),
    *_same(Kind.WHOLE, "provider_id"),
    _called("provider", Kind.TEXT, "provider_name"),
    *_same(Kind.TEXT, "operation"),
    _called("stream", Kind.FLAG, "is_stream"),
    *_same(Kind.TEXT, "outcome"),
    _called("status", Kind.WHOLE, "http_status"),
    *_same(Kind.TEXT, "error_code", "error_detail", "usage_source", "service_tier"),
    *_same(Kind.TEXT, "cache_status", "experiment_arm"),
    *_same(Kind.JSON, "tags"),
    *_same(Kind.WHOLE, "input_tokens", "output_tokens", "cached_input_tokens"),
    *_same(Kind.WHOLE, "cache_write_tokens", "cache_write_1h_tokens", "reasoning_tokens"),
    *_same(Kind.WHOLE, "audio_input_tokens", "audio_output_tokens"),
    *_same(Kind.WHOLE, "image_input_tokens", "image_output_tokens", "images"),
    *_same(Kind.WHOLE, "duration_ms", "searches"),
    _called("cost_usd", Kind.MONEY, "cost_nano"),
    _called("charged_usd", Kind.MONEY, "charged_nano"),
    _called("cost_adjustment_usd", Kind.MONEY, "cost_change"),
    _called("charged_adjustment_usd", Kind.MONEY, "charged_change"),
    _called("upper_bound_usd", Kind.MONEY, "upper_bound_nano"),
    *_same(Kind.WHOLE, "price_id", "tier_id", "terms_id", "markup_ppm", "revision"),
    *_same(Kind.WHOLE, "latency_ms", "first_token_ms", "attempts"),
)
