"""What one request holds in the memory of one process."""

from __future__ import annotations

import msgspec

from apps.billing.limits.contract import Demand, Headroom
from apps.billing.limits.windows import Bucket, BudgetWindow, Leases


class Reservation(msgspec.Struct, gc=False):
    """What one request holds, and where; `parts` are windows of input or output tokens. `nano_usd`
    is held in each of `purses`."""

    demand: Demand
    nano_usd: int
    request_buckets: list[Bucket]
    token_buckets: list[Bucket]
    parts: list[Bucket]
    leases: list[Leases]
    purses: list[BudgetWindow]
    headroom: Headroom


def part_of(bucket: Bucket, tokens: int, output: int) -> int:
    """The part of the tokens that a window of input or of output counts."""
    return output if bucket.window.quota.unit == "output_tokens" else tokens - output
