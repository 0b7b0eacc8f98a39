"""Who sees forecasts: those who see the budget."""

from __future__ import annotations

from apps.accounts.permissions import Rows, register
from apps.accounts.roles import Capability as C
from apps.billing.permissions import SCOPES


def register_own() -> None:
    of_budget = tuple(f"budget__{path}" for path in SCOPES)
    register("forecasts.budgetforecast", Rows(view=C.BILLING_READ, teams=of_budget))
    register(
        "forecasts.whatif",
        Rows(view=C.BILLING_READ, change=C.BILLING_READ, teams=("client__team_id",)),
    )
