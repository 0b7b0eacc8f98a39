"""Pages of prices, tiers, quotas, budgets and the ledger; money on the pages of accounts."""

from . import accounts, books, ledger, limits, prices, tiers, unpriced

__all__ = ["accounts", "books", "ledger", "limits", "prices", "tiers", "unpriced"]
