"""OpenAI's rate-limit headers (platform.openai.com/docs/guides/rate-limits), and ours that says
whose limits they tell. Pure."""

from __future__ import annotations

from math import ceil
from typing import Final

from apps.billing.limits.contract import Headroom

SCOPE_HEADER: Final = "x-chatvault-ratelimit-scope"
_SCOPE: Final = SCOPE_HEADER.encode()


def ratelimit_headers(headroom: Headroom) -> tuple[tuple[bytes, bytes], ...]:
    """`x-ratelimit-*` of the units that have a quota; none where there is none."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if headroom.limit_requests is not None:
        headers = (
            (b"x-ratelimit-limit-requests", b"%d" % headroom.limit_requests),
            (b"x-ratelimit-remaining-requests", b"%d" % (headroom.remaining_requests or 0)),
            (b"x-ratelimit-reset-requests", go_duration(headroom.reset_requests_s or 0)),
        )
    if headroom.limit_tokens is not None:
        headers += (
            (b"x-ratelimit-limit-tokens", b"%d" % headroom.limit_tokens),
            (b"x-ratelimit-remaining-tokens", b"%d" % (headroom.remaining_tokens or 0)),
            (b"x-ratelimit-reset-tokens", go_duration(headroom.reset_tokens_s or 0)),
        )
    if headers:
        headers += ((_SCOPE, scope_text(headroom).encode()),)
    return headers


def scope_text(headroom: Headroom, refused: str = "") -> str:
    """Whose limit is the tightest of each unit, and whose it was that refused, as a dictionary of
    RFC 8941 §3.2: `requests=client, tokens=team`."""
    told = (
        ("refused", refused),
        ("requests", headroom.scope_requests),
        ("tokens", headroom.scope_tokens),
    )
    return ", ".join([f"{name}={kind}" for name, kind in told if kind])


def go_duration(seconds: float) -> bytes:
    """As Go's time.Duration prints it, rounded up: `12ms`, `1.5s`, `6m0s`, `1h0m0s`.

    To the millisecond below a minute, to the second from there on.
    """
    milliseconds = ceil(seconds * 1000)
    if milliseconds < 1000:
        return b"%dms" % milliseconds if milliseconds > 0 else b"0s"
    if milliseconds < 60_000:
        whole, rest = divmod(milliseconds, 1000)
        return (b"%d.%03d" % (whole, rest)).rstrip(b"0") + b"s" if rest else b"%ds" % whole
    minutes, whole = divmod(ceil(milliseconds / 1000), 60)
    if minutes < 60:
        return b"%dm%ds" % (minutes, whole)
    return b"%dh%dm%ds" % (minutes // 60, minutes % 60, whole)
