"""What the tightest windows of a reservation leave, for response headers. In memory."""

from __future__ import annotations

from apps.billing.limits.contract import Headroom
from apps.billing.limits.windows import NS, Bucket, SlidingWindow


def headroom_of(by_request: list[Bucket], by_token: list[Bucket], now_ns: int) -> Headroom:
    """Of windows that refuse: what only observes is told to nobody."""
    headroom = Headroom()
    window = _tightest(by_request) if by_request else None
    if window is not None:
        headroom.limit_requests = window.ceiling
        headroom.remaining_requests = max(window.left(), 0)
        headroom.reset_requests_s = (window.reset_ns() - now_ns) / NS
        headroom.scope_requests = window.kind
    window = _tightest(by_token) if by_token else None
    if window is not None:
        headroom.limit_tokens = window.ceiling
        headroom.remaining_tokens = max(window.left(), 0)
        headroom.reset_tokens_s = (window.reset_ns() - now_ns) / NS
        headroom.scope_tokens = window.kind
    return headroom


def _tightest(buckets: list[Bucket]) -> SlidingWindow | None:
    """The window with the least left."""
    if len(buckets) == 1:
        window = buckets[0].window
        return None if window.quota.observes else window
    tightest, least = None, 0
    for bucket in buckets:
        window = bucket.window
        left = window.ceiling - window.total
        if (tightest is None or left < least) and not window.quota.observes:
            tightest, least = window, left
    return tightest
