from .ledger import LedgerEntry
from .limits import Budget, BudgetWindow, Quota
from .prices import Price, PriceBook, PricingTier

__all__ = [
    "Budget",
    "BudgetWindow",
    "LedgerEntry",
    "Price",
    "PriceBook",
    "PricingTier",
    "Quota",
]
