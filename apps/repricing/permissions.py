"""Who sees repricings and who makes them: they are the whole installation's."""

from __future__ import annotations

from apps.accounts.permissions import Rows, register
from apps.accounts.roles import Capability as C


def register_own() -> None:
    register("repricing.repricing", Rows(view=C.BILLING_READ, change=C.BILLING_WRITE))
    register("repricing.repricingline", Rows(view=C.BILLING_READ))
    register("repricing.repricedrequest", Rows(view=C.BILLING_READ))
