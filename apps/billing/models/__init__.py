from .catalogue import CatalogueChange
from .ledger import LedgerEntry
from .limits import SCOPES, Budget, BudgetWindow, Quota, QuotaHour, QuotaOverride
from .prices import Price, PriceBook, PricingTier
from .shared import Counter, GatewayNode

__all__ = [
    "SCOPES",
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
    "QuotaHour",
    "QuotaOverride",
]
