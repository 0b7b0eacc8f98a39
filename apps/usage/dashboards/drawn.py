"""The charts of the spending page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apps.usage.charts import Chart, Series, chart
from apps.usage.dashboards.figures import Spending, is_hourly, per_thousand
from apps.usage.reports.summary import Figures
from chatvault.lib.money import usd_from_nano

_PRIMARY: Final = "var(--color-primary-600)"
_LIGHT: Final = "var(--color-primary-300)"
_COLOURS: Final = (
    *("#2563eb", "#f59e0b", "#10b981", "#a855f7", "#ef4444", "#06b6d4", "#84cc16", "#9ca3af"),
)
_DIGITS: Final = 6


def charts_of(found: Spending, *, sees_cost: bool) -> list[Chart]:
    """Spend by group, cost beside charge and margin, what 1,000 requests cost."""
    form = "%d %b %H:%M" if is_hourly(found.choice) else "%d %b"
    labels = [at.strftime(form) for at in found.labels]
    first = f"{found.choice.bucket.value.title()} ({found.choice.zone_name})"

    def drawn(name: str, title: str, series: list[Series], kind: str = "bar") -> Chart:
        return chart(name, title, labels, series, kind, first=first)

    def line_of(label: str, colour: str, read: Callable[[Figures], int | None]) -> Series:
        return Series(label, colour, [_usd(read(each)) for each in found.whole], _DIGITS)

    by_group = [
        Series(label, colour, [_usd(nano) for nano in amounts], _DIGITS)
        for (label, amounts), colour in zip(found.series, _COLOURS, strict=False)
    ]
    charts = [drawn("spend", "Charged, USD", by_group)]
    if sees_cost:
        margin = [
            line_of("Charged", _PRIMARY, lambda figures: figures.charged_nano),
            line_of("Cost", _LIGHT, lambda figures: figures.cost_nano),
            line_of("Margin", "#10b981", lambda figures: figures.margin_nano),
        ]
        charts.append(drawn("margin", "Charge, cost and margin, USD", margin, "line"))
    thousand = [line_of("USD", _PRIMARY, per_thousand)]
    charts.append(drawn("thousand", "Charged for 1,000 requests, USD", thousand, "line"))
    cached = [
        Series(
            "From the cache", _PRIMARY, [_count(f.of("cached_input_tokens")) for f in found.whole]
        ),
        Series("Others", _LIGHT, [_count(_uncached(figures)) for figures in found.whole]),
    ]
    charts.append(drawn("cache", "Prompt tokens", cached))
    return charts


def _uncached(figures: Figures) -> int | None:
    whole, cached = figures.of("input_tokens"), figures.of("cached_input_tokens")
    return None if whole is None or cached is None else whole - cached


def _usd(nano: int | None) -> float | None:
    """For the eye; books are exact."""
    return None if nano is None else float(usd_from_nano(nano))


def _count(value: int | None) -> float | None:
    return None if value is None else float(value)
