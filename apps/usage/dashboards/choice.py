"""What somebody chose to look at: a span of days in a time zone, and by what to divide it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final
from urllib.parse import urlencode

from apps.usage.reports.query import IDS, BadQuery, Bucket, Dimension, Query, Scope, Value, zone_of
from apps.usage.reports.query import name_of as name_of_zone

RANGES: Final = {
    "today": "Today",
    "7d": "The last 7 days",
    "30d": "The last 30 days",
    "90d": "The last 90 days",
    "month": "This month",
    "last-month": "Last month",
    "365d": "The last 365 days",
    "custom": "From … to …",
}
BY: Final = {
    Dimension.TEAM: "Team",
    Dimension.CLIENT: "Client",
    Dimension.KEY: "Key",
    Dimension.USER: "User",
    Dimension.ALIAS: "Model (alias)",
    Dimension.DEPLOYMENT: "Deployment",
    Dimension.PROVIDER: "Provider",
    Dimension.TAG: "Tag",
}
DEFAULT_RANGE: Final = "30d"
MOST_DAYS: Final = 400
_HOURLY_DAYS: Final = 2
_DAILY_DAYS: Final = 92
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Choice:
    """Days from `first` to `last`, both included; what of the address was wrong is in `problems`,
    and its default stands in for it."""

    span: str
    first: date
    last: date
    zone: tzinfo
    by: Dimension
    filters: dict[Dimension, tuple[Value, ...]]
    problems: list[str] = field(default_factory=list)

    @property
    def start(self) -> datetime:
        return _midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        return _midnight(self.last + _DAY, self.zone)

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def bucket(self) -> Bucket:
        if self.days <= _HOURLY_DAYS:
            return Bucket.HOUR
        if self.days <= _DAILY_DAYS:
            return Bucket.DAY
        return Bucket.WEEK

    @property
    def zone_name(self) -> str:
        return name_of_zone(self.zone)

    def query(self, scope: Scope, **more: object) -> Query:
        """Of the chosen days; without percentiles."""
        asked: dict[str, Any] = {
            "start": self.start,
            "end": self.end,
            "zone": self.zone,
            "percentiles": False,
            "filters": self.filters,
            "scope": scope,
        }
        return Query(**asked | more)

    def before(self, scope: Scope, **more: object) -> Query:
        """Of as many days just before."""
        start = _midnight(self.first - self.days * _DAY, self.zone)
        return self.query(scope, start=start, end=self.start, **more)

    def address(self, **changes: str) -> str:
        """The query string that shows the same with these changes; "" leaves one out."""
        told = {"range": self.span, "by": self.by.value, "zone": self.zone_name}
        if self.span == "custom":
            told |= {"from": self.first.isoformat(), "to": self.last.isoformat()}
        told |= {name.value: str(values[0]) for name, values in self.filters.items()}
        told |= changes
        return "?" + urlencode({name: value for name, value in told.items() if value})


def choice_of(given: Mapping[str, str], now: datetime) -> Choice:
    """Never raises: what makes no sense is told in `problems`."""
    problems: list[str] = []
    zone = _zone(given.get("zone", ""), problems)
    today = now.astimezone(zone).date()
    span = given.get("range") or DEFAULT_RANGE
    if span not in RANGES:
        problems.append("There is no such range; these are the last 30 days.")
        span = DEFAULT_RANGE
    first, last = _days(span, given, today, problems)
    by = given.get("by") or Dimension.TEAM.value
    if by not in BY:
        problems.append("Reports cannot be divided by that; this is by team.")
        by = Dimension.TEAM.value
    return Choice(span, first, last, zone, Dimension(by), _filters(given, problems), problems)


def _zone(name: str, problems: list[str]) -> tzinfo:
    try:
        return zone_of(name) if name else UTC
    except BadQuery as bad:
        problems.append(f"{bad.message} This is UTC.")
        return UTC


def _days(
    span: str, given: Mapping[str, str], today: date, problems: list[str]
) -> tuple[date, date]:
    if span == "today":
        return today, today
    if span == "month":
        return today.replace(day=1), today
    if span == "last-month":
        last = today.replace(day=1) - _DAY
        return last.replace(day=1), last
    if span != "custom":
        return today - (int(span.removesuffix("d")) - 1) * _DAY, today
    try:
        first = date.fromisoformat(given.get("from", ""))
        last = date.fromisoformat(given.get("to", ""))
    except ValueError:
        problems.append("Write both days as 2026-05-01; these are the last 30 days.")
        return today - 29 * _DAY, today
    if last < first:
        problems.append("The last day was before the first; they are exchanged.")
        first, last = last, first
    if not (first.year >= 2000 and last.year <= 2100):
        problems.append("These days are too far away; these are the last 30 days.")
        return today - 29 * _DAY, today
    if (last - first).days >= MOST_DAYS:
        problems.append(f"At most {MOST_DAYS} days are shown; these are the last of them.")
        first = last - (MOST_DAYS - 1) * _DAY
    return first, last


def _filters(given: Mapping[str, str], problems: list[str]) -> dict[Dimension, tuple[Value, ...]]:
    found: dict[Dimension, tuple[Value, ...]] = {}
    for dimension in BY:
        text = given.get(dimension.value, "")
        if not text:
            continue
        if dimension not in IDS:
            found[dimension] = (text[:150],)
        elif text.isascii() and text.isdigit() and len(text) < 19:
            found[dimension] = (int(text),)
        else:
            problems.append(f"The {dimension.value} is a number; it is left out.")
    return found


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
