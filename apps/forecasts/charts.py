"""Charts of what is to come: data and options as Chart.js takes them, and the same as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from apps.forecasts.models import BudgetForecast
from apps.usage.charts import Chart
from chatvault.lib.money import usd_from_nano

_GREY: Final = "#9ca3af"
_PRIMARY: Final = "var(--color-primary-600)"
_BAND: Final = "rgba(37, 99, 235, 0.15)"
_RED: Final = "#dc2626"
HEADERS: Final = ["Day", "Spent", "Expected", "At least", "At most", "Amount"]
Cell = int | None


def burn_down(row: BudgetForecast) -> Chart:
    """Spent so far, expected with its band, and the line of the amount."""
    table = table_of(row)
    columns: list[Sequence[Cell]] = list(zip(*(amounts for _, *amounts in table), strict=True))
    spent, expected, low, high, amount = ([_usd(one) for one in values] for values in columns)
    if (last := len([one for one in spent if one is not None])) and last < len(spent):
        expected[last - 1] = low[last - 1] = high[last - 1] = spent[last - 1]  # one line goes on
    data = [
        _line("Spent", spent, _PRIMARY),
        _line("Expected", expected, _PRIMARY, borderDash=[5, 4]),
        _line("At least", low, "transparent"),
        _line("At most", high, "transparent", fill="-1", backgroundColor=_BAND),
        _line("Amount", amount, _RED, borderDash=[2, 3]),
    ]
    return Chart(
        id="chart-burn-down",
        title="Spent and expected, USD",
        kind="line",
        data=json.dumps({"labels": [str(line[0]) for line in table], "datasets": data}),
        options=json.dumps(options(stacked=False)),
        headers=HEADERS,
        rows=[[str(line[0]), *(_told(one) for one in line[1:])] for line in table],
        is_empty=False,
    )


def table_of(row: BudgetForecast) -> list[tuple[str, Cell, Cell, Cell, Cell, Cell]]:
    """Day, spent, expected, at least, at most, amount; in nano-USD."""
    return [
        (
            one["on"],
            one.get("spent"),
            one.get("expected"),
            one.get("low"),
            one.get("high"),
            row.amount_nano,
        )
        for one in row.points
    ]


def bars(title: str, labels: Sequence[str], pairs: Sequence[tuple[str, str, Sequence[int]]]) -> Any:
    """Amounts in nano-USD side by side: name, colour, values."""
    data = [
        {
            "label": label,
            "data": [_usd(one) for one in values],
            "backgroundColor": colour,
            "borderRadius": 2,
            "maxBarThickness": 28,
        }
        for label, colour, values in pairs
    ]
    return Chart(
        id="chart-bars",
        title=title,
        kind="bar",
        data=json.dumps({"labels": list(labels), "datasets": data}),
        options=json.dumps(options(stacked=False)),
        headers=["", *(label for label, _, _ in pairs)],
        rows=[
            [label, *(_told(values[at]) for _, _, values in pairs)]
            for at, label in enumerate(labels)
        ],
        is_empty=not any(any(values) for _, _, values in pairs),
    )


def _line(label: str, values: list[float | None], colour: str, **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "data": values,
        "borderColor": colour,
        "backgroundColor": colour,
        "borderWidth": 2,
        "pointRadius": 0,
        "spanGaps": False,
        "fill": False,
    } | more


def options(*, stacked: bool) -> dict[str, Any]:
    ticks = {"color": _GREY, "maxRotation": 0, "autoSkip": True, "autoSkipPadding": 12}
    return {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {
            "legend": {
                "display": True,
                "align": "end",
                "labels": {"color": _GREY, "boxWidth": 8, "boxHeight": 8},
            }
        },
        "scales": {
            "x": {"stacked": stacked, "grid": {"display": False}, "ticks": ticks},
            "y": {
                "stacked": stacked,
                "beginAtZero": True,
                "ticks": {"color": _GREY, "maxTicksLimit": 6},
                "border": {"display": False},
            },
        },
    }


def _usd(nano: Cell) -> float | None:
    return None if nano is None else float(usd_from_nano(nano))  # for the eye


def _told(nano: Cell) -> str:
    return "–" if nano is None else f"{usd_from_nano(nano):,.2f}"
