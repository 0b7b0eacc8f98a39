"""Hourly sums against the rows of their hours, a day at a time, compared by the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from django.db import connection
from django.db.models import Max, Min

from apps.usage import day_sums
from apps.usage import rollups as sums
from apps.usage.findings import EXAMPLES, Example, Finding, as_parameter
from apps.usage.models import RequestLog
from apps.usage.reports.sources import as_instant

NAMES: Final = (
    ("rollups", "rollups equal the rows of their hour"),
    ("tags", "sums by tag equal the rows of their hour"),
    ("latencies", "latency histograms equal the rows of their hour"),
)
"""Of `sums.KINDS`, each with its code."""
_DAY: Final = timedelta(days=1)


class _Compared(NamedTuple):
    """A day of one kind of sums: how many there must be, how many differ, and in which hours."""

    checked: int
    differences: int
    hours: list[datetime]


def findings(since: datetime) -> Iterator[Finding]:
    """Every sum that is kept is what its rows add up to, and none is missing."""
    found = [Finding(name, 0, 0, [], code) for code, name in NAMES]
    for start, end in _days_since(since):
        found = [_with(finding, number, start, end) for number, finding in enumerate(found)]
    yield from found


def _with(finding: Finding, number: int, start: datetime, end: datetime) -> Finding:
    """What is known, with one more day."""
    compared = _compare(number, start, end)
    examples = list(finding.examples)
    for hour in compared.hours:
        if len(examples) < EXAMPLES:
            examples += _examples(sums.KINDS[number], hour, EXAMPLES - len(examples))
    return Finding(
        finding.name,
        finding.checked + compared.checked,
        finding.differences + compared.differences,
        examples,
        finding.code,
    )


def _compare(number: int, start: datetime, end: datetime) -> _Compared:
    bounds = [as_parameter(start), as_parameter(end)]
    counting, listing, times = _statements(sums.KINDS[number])
    with connection.cursor() as cursor:
        cursor.execute(counting, bounds * times)
        checked, differences = cursor.fetchone()
        hours: list[datetime] = []
        if differences:
            cursor.execute(listing, bounds * times)
            hours = [as_instant(row[0]) for row in cursor.fetchall()]
    return _Compared(int(checked or 0), int(differences or 0), hours)


def _statements(kind: sums.Kind) -> tuple[str, str, int]:
    """To count, to list the hours, and how often the bounds of the time are asked for.

    What rows say counts against what is kept: a group whose sums are not all zero differs, and so
    does one that only one side has.
    """
    table = kind.model._meta.db_table
    groups = ", ".join(("hour", *kind.group))
    made = day_sums.hours_of_rows(kind.model)
    kept = ["SELECT", ", ".join([groups, "1 AS side", "0 AS made", *kind.sums]), "FROM", table]
    parts = [" ".join([*kept, "WHERE hour >= %s AND hour < %s"])]
    against = ", ".join([groups, "-1", "1", *(f"-{name}" for name in kind.sums)])
    parts += [" ".join(("SELECT", against, "FROM (", one, ") of_rows")) for one in made]
    differs = [f"SUM({name}) <> 0" for name in ("side", *kind.sums)]
    words = ["SELECT hour, SUM(made) AS made, CASE WHEN", " OR ".join(differs)]
    words += ["THEN 1 ELSE 0 END AS differs FROM (", " UNION ALL ".join(parts)]
    words += [") both_sides GROUP BY", groups]
    compared = " ".join(words)
    counting = " ".join(("SELECT SUM(made), SUM(differs) FROM (", compared, ") compared"))
    listing = ["SELECT DISTINCT hour FROM (", compared, ") compared WHERE differs = 1"]
    listing += ["ORDER BY hour LIMIT", str(EXAMPLES)]
    return counting, " ".join(listing), len(parts)


def _examples(kind: sums.Kind, hour: datetime, room: int) -> list[Example]:
    kept, right = sums.totals_kept(kind, hour), sums.totals_of_hour(kind, hour)
    differing = [key for key in right.keys() | kept.keys() if right.get(key) != kept.get(key)]
    return [
        Example(
            f"{hour:%Y-%m-%d %H}h, {key[1:]}: {kept.get(key)} kept, {right.get(key)} in rows",
            "hour",
            hour.isoformat(),
        )
        for key in sorted(differing, key=repr)[:room]
    ]


def _days_since(since: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The days from the first to the last one that has rows or sums, from `since` on."""
    ends = [
        RequestLog.objects.filter(started_at__gte=since).aggregate(
            first=Min("started_at"), last=Max("started_at")
        )
    ]
    for kind in sums.KINDS:
        kept = kind.model.objects.filter(hour__gte=since)
        ends.append(kept.aggregate(first=Min("hour"), last=Max("hour")))
    first = min((one["first"] for one in ends if one["first"]), default=None)
    if first is None:
        return
    last = max(one["last"] for one in ends if one["last"])
    start = first.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while start <= last:
        end = start.replace(hour=0) + _DAY
        yield start, end
        start = end
