"""When the windows of budgets begin and end: days, weeks, months … of a time zone. Pure.

A period is written as a text, which every back end compares and none takes apart:
`day`, `week`, `month`, `quarter`, `total`, `custom:<days>:<first day>` and `rolling:<days>`, with
`@<time zone>` behind it where that is not UTC. So `month@Europe/Berlin`, `custom:14:2026-01-05`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

FOREVER_S: Final = 1 << 40
LONGEST_DAYS: Final = 400
MOST_BLOCKS: Final = 32
KINDS: Final = ("day", "week", "month", "quarter", "custom", "rolling", "total")
UTC_NAME: Final = "UTC"
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600


def period_text(kind: str, *, days: int = 0, starts_on: date | None = None, zone: str = "") -> str:
    """Raises ValueError for what makes no sense."""
    text = kind
    if kind == "custom":
        text = f"custom:{days}:{starts_on or ''}"
    elif kind == "rolling":
        return _checked(f"rolling:{days}")  # a length of time is the same everywhere
    elif kind == "total":
        return "total"
    if zone not in ("", UTC_NAME):
        text += f"@{zone}"
    return _checked(text)


def period_bounds(period: str, at_s: int) -> tuple[int, int]:
    """The half-open window around `at_s`, in epoch seconds: a day has 23 or 25 hours where clocks
    change. Of a rolling period it is the block of now, see `earlier_blocks`."""
    shape = _shape(period)
    if shape.kind == "total":
        return 0, FOREVER_S
    if shape.block_s:
        start_s = at_s - at_s % shape.block_s
        return start_s, start_s + shape.block_s
    if period == "day":
        start_s = at_s - at_s % _DAY_S
        return start_s, start_s + _DAY_S
    day = datetime.fromtimestamp(at_s, shape.zone).date()
    return _midnight(shape.first(day), shape.zone), _midnight(shape.after(day), shape.zone)


def earlier_blocks(period: str, start_s: int) -> list[int]:
    """Starts of the blocks that count beside the one that begins at `start_s`, oldest first; none
    but of a rolling period.

    At most 31, each at least a whole hour: so that any stretch of its days lies within what
    counts. The price is that spending counts up to one block longer than that.
    """
    shape = _shape(period)
    return [start_s - n * shape.block_s for n in range(shape.earlier, 0, -1)]


def is_rolling(period: str) -> bool:
    return bool(_shape(period).block_s)


def previous(period: str, start_s: int) -> tuple[int, int] | None:
    """The window before the one that begins there; None: there is none."""
    if period == "total" or is_rolling(period):
        return None
    return period_bounds(period, start_s - 1)


class _Shape(NamedTuple):
    kind: str
    zone: ZoneInfo
    first: Callable[[date], date]
    after: Callable[[date], date]
    block_s: int = 0
    earlier: int = 0


@lru_cache(maxsize=1024)
def _shape(period: str) -> _Shape:
    """Raises ValueError."""
    what, _, zone_name = period.partition("@")
    kind, _, rest = what.partition(":")
    zone = _zone(zone_name or UTC_NAME)
    if kind not in KINDS or (rest and kind not in ("custom", "rolling")):
        raise ValueError(f"there is no period {period!r}")
    if kind == "rolling":
        days = _days(rest)
        hours = -(-days * 24 // (MOST_BLOCKS - 1))
        return _Shape(kind, zone, _same, _same, hours * _HOUR_S, -(-days * 24 // hours))
    if kind == "custom":
        count, _, first_day = rest.partition(":")
        return _Shape(kind, zone, *_every(_days(count), date.fromisoformat(first_day)))
    return _Shape(kind, zone, *_CALENDAR[kind])


def _checked(period: str) -> str:
    _shape(period)
    return period


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= LONGEST_DAYS:
        raise ValueError(f"a period has 1 to {LONGEST_DAYS} days")
    return days


def _midnight(day: date, zone: ZoneInfo) -> int:
    """The first instant of the day; where clocks go forward at midnight, that instant."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp())


def _same(day: date) -> date:
    return day


def _next_day(day: date) -> date:
    return day + timedelta(days=1)


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _next_monday(day: date) -> date:
    return _monday(day) + timedelta(days=7)


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


def _next_month(day: date) -> date:
    return _first_of_month(_first_of_month(day) + timedelta(days=32))


def _first_of_quarter(day: date) -> date:
    return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)


def _next_quarter(day: date) -> date:
    return _first_of_month(_first_of_quarter(day) + timedelta(days=95))


def _every(days: int, first_day: date) -> tuple[Callable[[date], date], Callable[[date], date]]:
    def first(day: date) -> date:
        return day - timedelta(days=(day - first_day).days % days)

    def after(day: date) -> date:
        return first(day) + timedelta(days=days)

    return first, after


_CALENDAR: Final = {
    "day": (_same, _next_day),
    "week": (_monday, _next_monday),
    "month": (_first_of_month, _next_month),
    "quarter": (_first_of_quarter, _next_quarter),
    "total": (_same, _same),
}
