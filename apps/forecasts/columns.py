"""What the list of budgets shows of forecasts."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse

from apps.billing.outlooks import Outlook
from apps.forecasts import services
from chatvault.lib import clock


def outlooks_of(budget_ids: Iterable[int]) -> dict[int, Outlook]:
    """One query."""
    return {
        budget_id: Outlook(
            row.expected_nano,
            row.low_nano,
            row.high_nano,
            row.amount_nano,
            row.runs_out_on,
            row.runs_out_earliest,
            row.made_on,
            reverse("admin:forecasts_budgetforecast_change", args=[row.pk]),
        )
        for budget_id, row in services.newest(budget_ids, clock.now()).items()
    }
