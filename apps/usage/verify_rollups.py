"""Hourly sums against the rows of their hour, an hour at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from django.db.models.functions import TruncHour

from apps.usage import rollups as sums
from apps.usage.findings import EXAMPLES, Example, Finding
from apps.usage.models import RequestLog

NAMES: Final = (
    ("rollups", "rollups equal the rows of their hour"),
    ("tags", "sums by tag equal the rows of their hour"),
    ("latencies", "latency histograms equal the rows of their hour"),
)
"""Of `sums.KINDS`, each with its code."""


def findings(since: datetime) -> Iterator[Finding]:
    """Every sum that is kept is what its rows add up to, and none is missing."""
    found = [Finding(name, 0, 0, [], code) for code, name in NAMES]
    for hour in hours_since(since):
        found = [
            _with(finding, kind, hour) for finding, kind in zip(found, sums.KINDS, strict=True)
        ]
    yield from found


def _with(finding: Finding, kind: sums.Kind, hour: datetime) -> Finding:
    """What is known, with one more hour."""
    kept, right = sums.totals_kept(kind, hour), sums.totals_of_hour(kind, hour)
    differing = [key for key in right.keys() | kept.keys() if right.get(key) != kept.get(key)]
    room = EXAMPLES - len(finding.examples)
    examples = [
        Example(
            f"{hour:%Y-%m-%d %H}h, {key[1:]}: {kept.get(key)} kept, {right.get(key)} in rows",
            "hour",
            hour.isoformat(),
        )
        for key in sorted(differing, key=repr)[:room]
    ]
    return Finding(
        finding.name,
        finding.checked + len(right),
        finding.differences + len(differing),
        finding.examples + examples,
        finding.code,
    )


def hours_since(since: datetime) -> Iterator[datetime]:
    """The hours that have rows or sums."""
    begun = RequestLog.objects.filter(started_at__gte=since).order_by()
    rows = begun.annotate(at=TruncHour("started_at")).values_list("at", flat=True)
    hours = set(rows.distinct())
    for kind in sums.KINDS:
        kept = kind.model.objects.filter(hour__gte=since).order_by()
        hours.update(kept.values_list("hour", flat=True).distinct())
    yield from sorted(hours)
