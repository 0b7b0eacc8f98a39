"""What the tightest windows of a reservation leave, for response headers. In memory."""

from __future__ import annotations

from apps.billing.limits.contract import Headroom
from apps.billing.limits.windows import NS, Bucket, SlidingWindow


def headroom_of(
    by_request: list[Bucket],
    by_token: list[Bucket],
    now_ns: int,
    budgets: tuple[tuple[int, int], ...] = (),
    observed: tuple[int, ...] = (),
) -> Headroom:
    """Of windows that refuse: what only observes is told to nobody."""
    limit_r = left_r = reset_r = limit_t = left_t = reset_t = None
    scope_r = scope_t = ""
    window = _tightest(by_request) if by_request else None
    if window is not None:
        limit_r, scope_r = window.ceiling, window.kind
        left_r = limit_r - window.total
        if left_r < 0:  # noqa: PLR1730 - max() takes as long as all else
            left_r = 0
        reset_r = (window.reset_ns() - now_ns) / NS
    window = _tightest(by_token) if by_token else None
    if window is not None:
        limit_t, scope_t = window.ceiling, window.kind
        left_t = limit_t - window.total
        if left_t < 0:  # noqa: PLR1730
            left_t = 0
        reset_t = (window.reset_ns() - now_ns) / NS
    return Headroom(
        limit_r, left_r, reset_r, limit_t, left_t, reset_t, budgets, scope_r, scope_t, observed
    )


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
