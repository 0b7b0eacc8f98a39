"""From paths of daily spending to what a budget can expect. Pure; amounts out are whole nano."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from apps.forecasts import model

LOW, MIDDLE, HIGH = 0.10, 0.50, 0.90
"""The band holds four of five paths."""
_A_DAY: Final = timedelta(days=1)
MOST_NANO: Final = 2**62


@dataclass(frozen=True)
class Standing:
    """Where a budget stands today. `days` are whole days before today, oldest first, in nano-USD.

    `spent_nano` is all of the window so far, `today_nano` the part of it that is today's;
    `today_left` is how much of today is still to come, from 0 to 1. `rolling_days`: the window is
    the last so many days, today included, and has no end.
    """

    today: date
    last_on: date  # the window's last day, or the last that is looked at
    amount_nano: int
    spent_nano: int
    today_nano: int
    today_left: float
    days: Sequence[int]
    is_open_ended: bool = False
    rolling_days: int = 0


@dataclass(frozen=True)
class Point:
    """The end of one day: what the window will have spent."""

    on: date
    expected_nano: int
    low_nano: int
    high_nano: int


@dataclass(frozen=True)
class Outlook:
    """`runs_out_on` None: not before the end, more likely than not. `earliest` None: hardly ever,
    `latest` None: it may well last."""

    expected_nano: int
    low_nano: int
    high_nano: int
    runs_out_on: date | None
    earliest: date | None
    latest: date | None
    daily_nano: int
    safe_daily_nano: int
    method: str
    days_seen: int
    points: list[Point]

    @property
    def is_breach(self) -> bool:
        return self.runs_out_on is not None


def look(standing: Standing, seed: int = 0) -> Outlook:
    """The window's days from today to its last."""
    import numpy

    count = (standing.last_on - standing.today).days + 1
    history, first = list(standing.days), standing.today_left
    if not any(history) and standing.today_nano > 0 and first < 1:
        history = [round(standing.today_nano / (1 - first))]  # today is all that is known
    paths = model.forecast(history, count, seed)
    daily = numpy.array(paths.daily)
    daily[:, 0] *= first
    sums = _window_sums(standing, daily)
    spread = [numpy.quantile(sums, at, axis=0) for at in (LOW, MIDDLE, HIGH)]
    points = [
        Point(
            standing.today + at * _A_DAY,
            _nano(spread[1][at]),
            _nano(spread[0][at]),
            _nano(spread[2][at]),
        )
        for at in range(count)
    ]
    earliest, expected, latest = _crossings(standing, sums)
    whole = daily[:, 1:] if count > 1 else numpy.array(paths.daily)
    left = max(standing.amount_nano - standing.spent_nano, 0)
    days_left = count - 1 + first
    return Outlook(
        expected_nano=points[-1].expected_nano,
        low_nano=points[-1].low_nano,
        high_nano=points[-1].high_nano,
        runs_out_on=expected,
        earliest=earliest,
        latest=latest,
        daily_nano=_nano(float(numpy.median(whole.mean(axis=1)))),
        safe_daily_nano=_nano(left / max(days_left, 0.01)) if days_left >= 1 else left,
        method=paths.method,
        days_seen=len(model.begun(standing.days)),
        points=points,
    )


def _window_sums(standing: Standing, daily: Any) -> Any:
    """What the window has spent at the end of each day, by path."""
    import numpy

    if not standing.rolling_days:
        return standing.spent_nano + numpy.cumsum(daily, axis=1)
    length = standing.rolling_days
    before = [float(one) for one in standing.days[-(length - 1) :]] if length > 1 else []
    before = [0.0] * (length - 1 - len(before)) + before
    known = numpy.tile(numpy.asarray(before), (daily.shape[0], 1))
    today = daily.copy()
    today[:, 0] += standing.today_nano
    run = numpy.cumsum(numpy.hstack([numpy.zeros((daily.shape[0], 1)), known, today]), axis=1)
    return run[:, length:] - run[:, :-length]


def _crossings(standing: Standing, sums: Any) -> tuple[date | None, date | None, date | None]:
    """The day on which the amount is spent: of the earliest tenth, of half, of nine in ten."""
    import numpy

    if standing.spent_nano >= standing.amount_nano:
        return standing.today, standing.today, standing.today
    passed = sums >= standing.amount_nano
    ever = passed.any(axis=1)
    first = numpy.where(ever, passed.argmax(axis=1), sums.shape[1])
    found: list[date | None] = []
    for share in (LOW, MIDDLE, HIGH):
        at = int(numpy.sort(first)[min(int(share * len(first)), len(first) - 1)])
        found.append(standing.today + at * _A_DAY if at < sums.shape[1] else None)
    return found[0], found[1], found[2]


def _nano(amount: float) -> int:
    return min(max(round(float(amount)), 0), MOST_NANO)
