"""Hourly sums against the rows of their hour, an hour at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models.functions import TruncHour

from apps.usage import rollups as sums
from apps.usage.findings import EXAMPLES, Example, Finding
from apps.usage.models import HourlyRollup, RequestLog

_HOUR: Final = timedelta(hours=1)
_KEYS: Final = ("hour", *sums.GROUP, "deployment_id")


def rollups(since: datetime) -> Finding:
    """Every sum that is kept is what its rows add up to, and none is missing."""
    examples: list[Example] = []
    checked = wrong = 0
    for hour in hours_since(since):
        kept = _by_group(HourlyRollup.objects.filter(hour=hour).iterator())
        right = _by_group(sums.sums_of(hour))
        checked += len(right)
        differing = [key for key in right.keys() | kept.keys() if right.get(key) != kept.get(key)]
        wrong += len(differing)
        for key in sorted(differing, key=repr)[: EXAMPLES - len(examples)]:
            text = f"{hour:%Y-%m-%d %H}h, {key[1:]}: {kept.get(key)} kept, {right.get(key)} in rows"
            examples.append(Example(text, "hour", hour.isoformat()))
    return Finding("rollups equal the rows of their hour", checked, wrong, examples, "rollups")


def hours_since(since: datetime) -> Iterator[datetime]:
    """The hours that have rows or sums."""
    begun = RequestLog.objects.filter(started_at__gte=since).order_by()
    rows = begun.annotate(at=TruncHour("started_at")).values_list("at", flat=True)
    kept = HourlyRollup.objects.filter(hour__gte=since).order_by().values_list("hour", flat=True)
    yield from sorted({*rows.distinct(), *kept.distinct()})


def _by_group(rows: Any) -> dict[tuple[Any, ...], tuple[int, ...]]:
    return {
        tuple(getattr(row, name) for name in _KEYS): tuple(
            int(getattr(row, name)) for name in sums.SUMS
        )
        for row in rows
    }
