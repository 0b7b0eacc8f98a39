"""Which UTC days are summed up as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from apps.usage.models import SummedDay
from apps.usage.reports.periods import Span
from apps.usage.reports.views import FORM

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class ReadyDays:
    """Days whose sums were right when they were looked up, each with the number of its sum.

    A row that comes late takes the number away, and a new sum gets another one. So sums that were
    read between two looks which found the same numbers belong together.
    """

    start: datetime | None = None
    end: datetime | None = None
    numbers: Mapping[date, int] = field(default_factory=dict)

    @classmethod
    def between(cls, start: datetime, end: datetime) -> ReadyDays:
        return cls(start, end, _numbers(start, end))

    def has(self, day: date) -> bool:
        return day in self.numbers

    def split(self, hours: Iterable[Span]) -> tuple[list[Span], list[Span]]:
        """Spans of hours that lie within one of these days, and the others."""
        within: list[Span] = []
        others: list[Span] = []
        for span in hours:
            rest = timedelta(hours=24 - span.start.hour)
            is_within = self.has(span.start.date()) and span.end - span.start <= rest
            (within if is_within else others).append(span)
        return within, others

    def are_as_before(self) -> bool:
        if self.start is None or self.end is None or not self.numbers:
            return True
        now = _numbers(self.start, self.end)
        return all(now.get(day) == number for day, number in self.numbers.items())


def _numbers(start: datetime, end: datetime) -> dict[date, int]:
    rows = SummedDay.objects.filter(is_ready=True, form=FORM)
    rows = rows.filter(day__gte=start - _DAY, day__lt=end + _DAY)
    return {day.date(): number for day, number in rows.values_list("day", "pk")}
