"""The numbers of the spending page, in a fixed number of reports."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from apps.usage.dashboards.choice import Choice
from apps.usage.dashboards.labels import labels_of
from apps.usage.dashboards.savings import saved_nano
from apps.usage.reports.query import Bucket, Dimension, Scope, Value
from apps.usage.reports.summary import Figures, Line, Summary, summary
from chatvault.lib import clock
from chatvault.lib.money import divide_half_up

SHOWN = 7
"""So many groups have a colour of their own; the others share one."""


@dataclass(frozen=True)
class Group:
    """One value of the dimension: now, and in as many days before."""

    value: Value
    label: str
    now: Figures
    before: Figures

    @property
    def change_nano(self) -> int:
        return (self.now.charged_nano or 0) - (self.before.charged_nano or 0)

    @property
    def change_percent(self) -> float | None:
        """None: there was nothing before."""
        before = self.before.charged_nano
        return 100 * self.change_nano / before if before else None

    @property
    def per_thousand_nano(self) -> int | None:
        return per_thousand(self.now)


@dataclass(frozen=True)
class Spending:
    """`groups` are in order of what was charged; `series` has the dearest of them and, with the
    value None, the others, each with an amount for every label."""

    choice: Choice
    now: Figures
    before: Figures
    groups: list[Group]
    labels: list[datetime]
    whole: list[Figures]
    series: list[tuple[str, list[int | None]]]
    saved_nano: int | None

    @property
    def movers(self) -> list[Group]:
        """Those whose amount changed, the greatest change first."""
        changed = [group for group in self.groups if group.change_nano]
        return sorted(changed, key=lambda group: -abs(group.change_nano))[:10]


def spending(choice: Choice, scope: Scope) -> Spending:
    """Five reports. Raises BadQuery for what cannot be asked together."""
    by = (choice.by,)
    now = summary(choice.query(scope, group_by=by))
    before = summary(choice.before(scope, group_by=by))
    whole = summary(choice.query(scope, bucket=choice.bucket, fill=True))
    divided = summary(choice.query(scope, bucket=choice.bucket, group_by=by))
    pairs = (Dimension.CLIENT, Dimension.DEPLOYMENT)
    at = min(choice.end, clock.now())
    saved = None
    if Dimension.TAG not in choice.filters:  # sums by tag know no deployment
        saved = saved_nano(summary(choice.query(scope, group_by=pairs)).lines, at)
    groups = _groups(choice.by, now.lines, before.lines)
    return Spending(
        choice,
        now.total,
        before.total,
        groups,
        [_label(line) for line in whole.lines],
        [line.figures for line in whole.lines],
        _series(divided, groups),
        saved,
    )


def per_thousand(figures: Figures) -> int | None:
    """What a thousand requests were charged; None where there was none."""
    requests, charged = figures.of("requests"), figures.charged_nano
    return divide_half_up(charged * 1000, requests) if requests and charged is not None else None


def is_hourly(choice: Choice) -> bool:
    return choice.bucket == Bucket.HOUR


def _label(line: Line) -> datetime:
    assert line.period.label is not None
    return line.period.label


def _groups(by: Dimension, now: list[Line], before: list[Line]) -> list[Group]:
    current = {line.values[0]: line.figures for line in now}
    past = {line.values[0]: line.figures for line in before}
    labels = labels_of(by, {*current, *past})
    found = [
        Group(value, labels[value], current.get(value, Figures()), past.get(value, Figures()))
        for value in labels
    ]
    return sorted(found, key=lambda group: (-(group.now.charged_nano or 0), group.label))


def _series(divided: Summary, groups: list[Group]) -> list[tuple[str, list[int | None]]]:
    places = {period.start: number for number, period in enumerate(divided.periods)}
    amounts: dict[Value | None, list[int | None]] = defaultdict(lambda: [None] * len(places))
    shown = [group.value for group in groups[:SHOWN]]
    for line in divided.lines:
        value = line.values[0] if line.values[0] in shown else None
        row, place = amounts[value], places[line.period.start]
        row[place] = (row[place] or 0) + (line.figures.charged_nano or 0)
    labels = {group.value: group.label for group in groups}
    found = [(labels[value], amounts[value]) for value in shown if value in amounts]
    if None in amounts:
        found.append(("All others", amounts[None]))
    return found
