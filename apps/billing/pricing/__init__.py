"""What a request costs and what its client is charged. Pure integers; no I/O, no ORM.

`model` has the words of a price, `bill` the sums of the hot path, `explain` the same sums line by
line, `volume` what a month's volume gives back.
"""

from .bill import bill, estimate_prompt_tokens, valid_usage, worst_case
from .explain import Line, explain
from .model import (
    MAX_TOKENS,
    PPM,
    Band,
    Bill,
    Conditions,
    Price,
    RateName,
    ServiceTier,
    Terms,
    TierName,
    Window,
)

__all__ = [
    "MAX_TOKENS",
    "PPM",
    "Band",
    "Bill",
    "Conditions",
    "Line",
    "Price",
    "RateName",
    "ServiceTier",
    "Terms",
    "TierName",
    "Window",
    "bill",
    "estimate_prompt_tokens",
    "explain",
    "valid_usage",
    "worst_case",
]
