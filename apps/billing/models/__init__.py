from .catalogue import CatalogueChange
from .ledger import LedgerEntry
from .limits import Budget, BudgetWindow, Quota
from .prices import Price, PriceBook, PricingTier
from .shared import Counter, GatewayNode

__all__ = [
    "Budget",
    "BudgetWindow",
    "CatalogueChange",
    "Counter",
    "GatewayNode",
    "LedgerEntry",
    "Price",
    "PriceBook",
    "PricingTier",
    "Quota",
]
