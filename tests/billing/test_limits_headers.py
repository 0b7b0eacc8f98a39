from __future__ import annotations

import pytest

from apps.billing.limits import Headroom, ratelimit_headers
from apps.billing.limits.headers import go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, b"0s"),
        (0.0001, b"1ms"),
        (0.012, b"12ms"),
        (0.9991, b"1s"),
        (1, b"1s"),
        (1.5, b"1.5s"),
        (1.0421, b"1.043s"),
        (1.25, b"1.25s"),
        (59.9999, b"1m0s"),
        (60, b"1m0s"),
        (360, b"6m0s"),
        (61.25, b"1m2s"),
        (3600, b"1h0m0s"),
        (90_061.5, b"25h1m2s"),
    ],
)
def test_durations_are_written_as_go_does_and_never_too_short(seconds, text):
    assert go_duration(seconds) == text


def test_units_without_a_quota_have_no_headers():
    assert ratelimit_headers(Headroom()) == ()


def test_headers_tell_limit_remaining_and_reset_of_each_unit():
    headroom = Headroom(
        600, 599, 6.5, 40_000, 38_976, 360.0, scope_requests="client", scope_tokens="team"
    )
    assert ratelimit_headers(headroom) == (
        (b"x-ratelimit-limit-requests", b"600"),
        (b"x-ratelimit-remaining-requests", b"599"),
        (b"x-ratelimit-reset-requests", b"6.5s"),
        (b"x-ratelimit-limit-tokens", b"40000"),
        (b"x-ratelimit-remaining-tokens", b"38976"),
        (b"x-ratelimit-reset-tokens", b"6m0s"),
        (b"x-chatvault-ratelimit-scope", b"requests=client, tokens=team"),
    )


def test_a_unit_with_nothing_left_says_so():
    headroom = Headroom(
        limit_tokens=5, remaining_tokens=0, reset_tokens_s=0.25, scope_tokens="alias"
    )
    assert ratelimit_headers(headroom) == (
        (b"x-ratelimit-limit-tokens", b"5"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"250ms"),
        (b"x-chatvault-ratelimit-scope", b"tokens=alias"),
    )
