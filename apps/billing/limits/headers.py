"""OpenAI's rate-limit headers (platform.openai.com/docs/guides/rate-limits). Pure."""

from __future__ import annotations

from apps.billing.limits.contract import Headroom


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
    return headers


def go_duration(seconds: float) -> bytes:
    """As Go's time.Duration prints it, in whole milliseconds: `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    milliseconds = -int(-seconds * 1000 // 1)
    if milliseconds < 1000:
        return b"%dms" % milliseconds if milliseconds > 0 else b"0s"
    whole, rest = divmod(milliseconds, 1000)
    fraction = (b".%03d" % rest).rstrip(b"0") if rest else b""
    if whole < 60:
        return b"%d%bs" % (whole, fraction)
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return b"%dm%d%bs" % (minutes, whole, fraction)
    return b"%dh%dm%d%bs" % (minutes // 60, minutes % 60, whole, fraction)
