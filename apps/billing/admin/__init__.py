"""Pages of prices, tiers, quotas, budgets and the ledger; money on the pages of accounts."""

from . import accounts, books, catalogue, ledger, limits, prices, tiers, unpriced

__all__ = ["accounts", "books", "catalogue", "ledger", "limits", "prices", "tiers", "unpriced"]
