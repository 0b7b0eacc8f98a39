"""Columns of the list of budgets that say what is to come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from apps.billing import outlooks
from apps.billing.words import short_usd
from chatvault.lib.label import Label


class OutlookColumns:
    """For the admin of budgets: call `put_outlooks` where rows are filled in."""

    def put_outlooks(self, rows: Sequence[Any]) -> None:
        found = outlooks.outlooks_of(row.pk for row in rows)
        for row in rows:
            row.outlook = found.get(row.pk)

    @display(description="forecast")
    def forecast(self, budget: Any) -> str | SafeString:
        """Expected at the end of the period, and the band of four of five cases."""
        seen = _outlook(budget)
        if seen is None:
            return "–"
        return format_html(
            '<a class="cv-link" href="{}" title="Four of five cases; seen on {}">{}</a>'
            '<span class="cv-under">{} to {}</span>',
            seen.link,
            seen.made_on,
            short_usd(seen.expected_nano),
            short_usd(seen.low_nano),
            short_usd(seen.high_nano),
        )

    @display(
        description="runs out on",
        label={"lasts": "success", "may run out": "warning", "runs out": "danger"},
    )
    def runs_out_on(self, budget: Any) -> Any:
        seen, use = _outlook(budget), getattr(budget, "use", None)
        if use is not None and use.spent_nano >= use.amount_nano:
            return Label("runs out", "spent")
        if seen is None:
            return Label("", "")  # a dash of the list's own, not one in a box
        if seen.runs_out_on is not None:
            return Label("runs out", f"{seen.runs_out_on:%Y-%m-%d}")
        if seen.earliest is not None:
            return Label("may run out", f"perhaps {seen.earliest:%Y-%m-%d}")
        return Label("lasts", "lasts")


def _outlook(budget: Any) -> outlooks.Outlook | None:
    if not hasattr(budget, "outlook"):
        budget.outlook = outlooks.outlooks_of([budget.pk]).get(budget.pk) if budget.pk else None
    found: outlooks.Outlook | None = budget.outlook
    return found
