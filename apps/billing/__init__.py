"""Prices, tiers, quotas, budgets and the ledger."""
