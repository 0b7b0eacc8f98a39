"""Charts of the home page: data and options as Chart.js takes them, and the same as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.usage.overview import Totals
from chatvault.lib.money import usd_from_nano

_GREY = "#9ca3af"
Hours = Sequence[tuple[datetime, Totals]]


@dataclass(frozen=True)
class Chart:
    """`data` and `options` are JSON. `rows` are the table that says the same."""

    id: str
    title: str
    kind: str
    data: str
    options: str
    headers: list[str]
    rows: list[list[str]]
    is_empty: bool


@dataclass(frozen=True)
class Series:
    """Values for each label of a chart; None where there is nothing to show."""

    label: str
    colour: str
    values: list[float | None]
    digits: int = 0

    def told(self, index: int) -> str:
        value = self.values[index]
        return "–" if value is None else f"{value:,.{self.digits}f}"


def charts_of(hours: Hours) -> list[Chart]:
    """Requests, cost, tokens and latency by hour."""
    labels = [f"{at:%H}:00" for at, _ in hours]
    each = [totals for _, totals in hours]
    good = [float(t.requests - t.errors) for t in each]
    bad = [float(t.errors) for t in each]
    money = [float(usd_from_nano(t.charged_nano)) for t in each]  # for the eye; books are exact
    prompt, answer = [float(t.input_tokens) for t in each], [float(t.output_tokens) for t in each]
    primary, light, red = "var(--color-primary-600)", "var(--color-primary-300)", "#dc2626"
    return [
        chart(
            "requests",
            "Requests per hour",
            labels,
            [Series("Answered", primary, [*good]), Series("Errors", red, [*bad])],
        ),
        chart("cost", "Charged per hour, USD", labels, [Series("USD", primary, [*money], 6)]),
        chart(
            "tokens",
            "Tokens per hour",
            labels,
            [Series("Prompt", primary, [*prompt]), Series("Answer", light, [*answer])],
        ),
        chart(
            "latency",
            "Mean latency, ms",
            labels,
            [
                Series("Whole answer", primary, [t.latency_ms for t in each]),
                Series("First token", light, [t.first_token_ms for t in each]),
            ],
            kind="line",
        ),
    ]


@dataclass(frozen=True)
class Stack:
    """One colour of stacked bars."""

    label: str
    colour: str
    values: Sequence[int]


def stacked_chart(name: str, title: str, labels: list[str], stacks: Sequence[Stack]) -> Chart:
    """Counts, one on the other."""
    series = [Series(one.label, one.colour, [float(n) for n in one.values]) for one in stacks]
    return chart(name, title, labels, series)


def chart(
    name: str,
    title: str,
    labels: list[str],
    series: list[Series],
    kind: str = "bar",
    *,
    first: str = "Hour (UTC)",
) -> Chart:
    """Bars, one on the other, or lines; `first` heads the labels in the table."""
    return Chart(
        id=f"chart-{name}",
        title=title,
        kind=kind,
        data=json.dumps({"labels": labels, "datasets": [_dataset(each, kind) for each in series]}),
        options=json.dumps(_options(stacked=kind == "bar", legend=len(series) > 1)),
        headers=[first, *(each.label for each in series)],
        rows=[
            [label, *(each.told(index) for each in series)] for index, label in enumerate(labels)
        ],
        is_empty=not any(any(each.values) for each in series),
    )


def _dataset(series: Series, kind: str) -> dict[str, Any]:
    shape = {"label": series.label, "data": series.values, "backgroundColor": series.colour}
    if kind == "bar":
        return shape | {"borderRadius": 2, "maxBarThickness": 18}
    return shape | {
        "borderColor": series.colour,
        "borderWidth": 2,
        "pointRadius": 2,
        "spanGaps": False,
        "tension": 0.2,
    }


def _options(*, stacked: bool, legend: bool) -> dict[str, Any]:
    ticks = {"color": _GREY, "maxRotation": 0, "autoSkip": True, "autoSkipPadding": 12}
    return {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {
            "legend": {
                "display": legend,
                "align": "end",
                "labels": {"color": _GREY, "boxWidth": 8, "boxHeight": 8},
            }
        },
        "scales": {
            "x": {"stacked": stacked, "grid": {"display": False}, "ticks": ticks},
            "y": {
                "stacked": stacked,
                "beginAtZero": True,
                "ticks": {"color": _GREY, "maxTicksLimit": 5},
                "grid": {},
                "border": {"display": False},
            },
        },
    }
