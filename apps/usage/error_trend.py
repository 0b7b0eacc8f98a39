"""How often errors occurred hour by hour, for the pages that show it, in one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.usage.models import ErrorHour
from chatvault.lib import clock

HOURS: Final = 24
DAYS: Final = 30
_HOUR: Final = timedelta(hours=1)
_WIDTH, _HEIGHT = 4, 20


class Bar(msgspec.Struct, frozen=True):
    """One span of time: how it is called, and how many there were."""

    label: str
    count: int


def hourly(numbers: Iterable[int], now: datetime | None = None) -> dict[int, list[Bar]]:
    """The last 24 hours of each group, oldest first, the running one included."""
    wanted = list(numbers)
    last = (now or clock.now()).replace(minute=0, second=0, microsecond=0)
    first = last - (HOURS - 1) * _HOUR
    rows = ErrorHour.objects.filter(group_id__in=wanted, hour__gte=first)
    counts = {(row.group_id, row.hour): row.count for row in rows}
    hours = [first + step * _HOUR for step in range(HOURS)]
    return {
        number: [
            Bar(f"{timezone.localtime(hour):%H}:00", counts.get((number, hour), 0))
            for hour in hours
        ]
        for number in wanted
    }


def daily(number: int, now: datetime | None = None) -> list[Bar]:
    """The last 30 days of one group, in the zone that the admin shows."""
    today = timezone.localtime(now or clock.now()).date()
    first = today - timedelta(days=DAYS - 1)
    sums: dict[object, int] = {}
    for row in ErrorHour.objects.filter(group_id=number):
        day = timezone.localtime(row.hour).date()
        sums[day] = sums.get(day, 0) + row.count
    days = [first + timedelta(days=step) for step in range(DAYS)]
    return [Bar(f"{day:%Y-%m-%d}", sums.get(day, 0)) for day in days]


def chart(bars: Sequence[Bar], *, width: int = _WIDTH, height: int = _HEIGHT) -> SafeString:
    """Bars as a picture, with what they show as its text."""
    most = max((bar.count for bar in bars), default=0)
    total = sum(bar.count for bar in bars)
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (
                step * width,
                height - (tall := max(round(height * bar.count / most), 1) if bar.count else 0),
                width - 1,
                tall,
                bar.label,
                bar.count,
            )
            for step, bar in enumerate(bars)
            if bar.count
        ),
    )
    return format_html(
        '<svg class="cv-bars" role="img" aria-label="{} from {} to {}, at most {} at a time" '
        'width="{}" height="{}">{}</svg>',
        total,
        bars[0].label if bars else "",
        bars[-1].label if bars else "",
        most,
        len(bars) * width,
        height,
        drawn,
    )
