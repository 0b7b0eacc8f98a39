from .budgets import (
    BUDGET_SCOPES,
    OF_PROVIDERS,
    STAGES_OF_PROVIDERS,
    Budget,
    BudgetRaise,
    BudgetStage,
    BudgetWindow,
    check_tag,
)
from .catalogue import CatalogueChange
from .ledger import ClosedPeriod, LedgerEntry
from .limits import SCOPES, Quota, QuotaHour, QuotaOverride
from .prices import Price, PriceBook
from .shared import Counter, GatewayNode
from .tiers import PricingTier, TierTerms

__all__ = [
    "BUDGET_SCOPES",
    "OF_PROVIDERS",
    "SCOPES",
    "STAGES_OF_PROVIDERS",
    "Budget",
    "BudgetRaise",
    "BudgetStage",
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
    "check_tag",
]
