from .catalogue import CatalogueChange
from .ledger import ClosedPeriod, LedgerEntry
from .limits import SCOPES, Budget, BudgetWindow, Quota, QuotaHour, QuotaOverride
from .prices import Price, PriceBook
from .shared import Counter, GatewayNode
from .tiers import PricingTier, TierTerms

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
    "TierTerms",
]
