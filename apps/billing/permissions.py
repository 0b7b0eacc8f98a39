"""Who sees and changes prices, limits and the ledger."""

from __future__ import annotations

from typing import Final

from apps.accounts.permissions import Rows, register
from apps.accounts.roles import Capability as C

SCOPES: Final = ("team_id", "client__team_id", "key__client__team_id")
WITHIN_TEAM: Final = ("client__team_id", "key__client__team_id")
"""What a team's own people may cap: the ceiling of the team itself is set from above."""


def register_own() -> None:
    prices = Rows(view=C.BILLING_READ, change=C.BILLING_WRITE)
    for name in ("pricebook", "price", "pricingtier", "tierterms", "cataloguechange"):
        register(f"billing.{name}", prices)
    register(
        "billing.quota",
        Rows(view=C.LIMITS_READ, change=C.LIMITS_WRITE, teams=SCOPES, changed_by=WITHIN_TEAM),
    )
    register(
        "billing.quotaoverride",
        Rows(
            view=C.LIMITS_READ,
            change=C.LIMITS_WRITE,
            teams=tuple(f"quota__{path}" for path in SCOPES),
            changed_by=tuple(f"quota__{path}" for path in WITHIN_TEAM),
        ),
    )
    register(
        "billing.budget",
        Rows(view=C.BILLING_READ, change=C.BILLING_WRITE, teams=SCOPES, changed_by=WITHIN_TEAM),
    )
    of_budget = tuple(f"budget__{path}" for path in SCOPES)
    register(
        "billing.budgetstage",
        Rows(
            view=C.BILLING_READ,
            change=C.BILLING_WRITE,
            teams=of_budget,
            changed_by=tuple(f"budget__{path}" for path in WITHIN_TEAM),
        ),
    )
    register(  # to ask for one; who may change the budget decides
        "billing.budgetraise",
        Rows(view=C.BILLING_READ, change=C.LIMITS_WRITE, teams=of_budget),
    )
    register(
        "billing.budgetwindow",
        Rows(view=C.BILLING_READ, teams=of_budget),
    )
    register("billing.ledgerentry", Rows(view=C.BILLING_READ, teams=("team_id",)))
    register("billing.closedperiod", Rows(view=C.BILLING_READ))
    register("billing.gatewaynode", Rows(view=C.OPERATIONS_READ, change=C.OPERATIONS_WRITE))
