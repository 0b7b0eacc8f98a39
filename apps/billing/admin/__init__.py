"""Pages of prices, tiers, quotas, budgets and the ledger; money on the pages of accounts."""

from . import (
    accounts,
    books,
    budget_raises,
    catalogue,
    ledger,
    limits,
    prices,
    tiers,
    unpriced,
)

__all__ = [
    "accounts",
    "books",
    "budget_raises",
    "catalogue",
    "ledger",
    "limits",
    "prices",
    "tiers",
    "unpriced",
]
