"""Months in the installation's time zone, as half-open ranges of instants."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings

_TEXT: Final = re.compile(r"(\d{4})-(\d{2})")


class Month(NamedTuple):
    """`day` is its first day; the instants are those of its zone, in UTC."""

    day: date
    starts_at: datetime
    ends_at: datetime

    def __str__(self) -> str:
        return f"{self.day:%Y-%m}"

    @property
    def last_day(self) -> date:
        return after(self.day) - timedelta(days=1)


def zone() -> ZoneInfo:
    found: ZoneInfo = settings.CHATVAULT.invoicing.zone
    return found


def month_of(day: date) -> Month:
    """The month that the day is in."""
    first = day.replace(day=1)
    return Month(first, beginning_of(first, zone()), beginning_of(after(first), zone()))


def month_at(at: datetime) -> Month:
    return month_of(at.astimezone(zone()).date())


def read(text: str) -> Month:
    """`2026-10`. Raises ValueError."""
    found = _TEXT.fullmatch(text.strip())
    if found is None or not 2015 <= int(found[1]) <= 2100 or not 1 <= int(found[2]) <= 12:
        raise ValueError("Write the month as 2026-10.")
    return month_of(date(int(found[1]), int(found[2]), 1))


def after(first: date) -> date:
    """The first day of the next month."""
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1)


def before(first: date) -> date:
    """The first day of the month before."""
    return (first.replace(day=1) - timedelta(days=1)).replace(day=1)


def beginning_of(day: date, zone: tzinfo) -> datetime:
    """The first instant of a day there, also where the clock jumps over midnight."""
    at = datetime.combine(day, time(), zone).astimezone(UTC)
    while at.astimezone(zone).date() < day:
        at += timedelta(minutes=15)
    return at
