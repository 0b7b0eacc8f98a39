"""Quotas and budgets: reserve the most a request can use, then settle what it used.

`contract` says what every back end promises, `local` keeps it in the memory of one process.
"""

from apps.billing.limits.contract import (
    BudgetLimit,
    BudgetState,
    BudgetUsage,
    Demand,
    Headroom,
    Limits,
    Override,
    QuotaLimit,
    Raise,
    ScopeLimits,
    Stage,
    Unit,
)
from apps.billing.limits.headers import ratelimit_headers
from apps.billing.limits.local import LocalLimits

__all__ = [
    "BudgetLimit",
    "BudgetState",
    "BudgetUsage",
    "Demand",
    "Headroom",
    "Limits",
    "LocalLimits",
    "Override",
    "QuotaLimit",
    "Raise",
    "ScopeLimits",
    "Stage",
    "Unit",
    "ratelimit_headers",
]
