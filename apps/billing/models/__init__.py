from .catalogue import CatalogueChange
from .ledger import ClosedPeriod, LedgerEntry
from .limits import SCOPES, Budget, BudgetWindow, Quota, QuotaHour, QuotaOverride
from .prices import Price, PriceBook, PricingTier
from .shared import Counter, GatewayNode

__all__ = [
    "SCOPES",
    "Budget",
    "BudgetWindow",
    "CatalogueChange",
    "ClosedPeriod",
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
