"""Callers that fail again and again wait; others, and good credentials, do not."""

from __future__ import annotations

import time

import pytest

from apps.accounts import failures
from apps.accounts.failures import Failures, Pace, failures_of
from chatvault.lib import clock
from chatvault.lib.errors import TooManyAttempts
from chatvault.settings.throttle import ThrottleSettings

KEY = b"cv_AAAAAAAAbbbb"


@pytest.fixture
def now(monkeypatch):
    """A clock that the test moves: `now[0]`."""
    at = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: at[0])
    return at


def is_refused(known: Failures, address: str, credential: bytes = KEY) -> bool:
    try:
        known.check(address, credential)
    except TooManyAttempts:
        return True
    return False


def test_a_burst_is_let_through_then_one_at_a_time(now):
    known = failures_of((5, 60), None)
    for _ in range(5):
        assert not is_refused(known, "192.0.2.1")
        known.note("192.0.2.1", KEY)
    assert is_refused(known, "192.0.2.1")
    assert not is_refused(known, "192.0.2.2")
    now[0] += 13
    assert not is_refused(known, "192.0.2.1")
    known.note("192.0.2.1", KEY)
    assert is_refused(known, "192.0.2.1")
    now[0] += 61
    for _ in range(5):
        assert not is_refused(known, "192.0.2.1")
        known.note("192.0.2.1", KEY)
    assert is_refused(known, "192.0.2.1")
    assert known.refused == 3


def test_the_answer_says_when_to_come_back_and_keeps_it(now):
    known = failures_of((1, 10), None)
    known.note("192.0.2.1", KEY)
    with pytest.raises(TooManyAttempts) as refused:
        known.check("192.0.2.1", KEY)
    assert refused.value.http_status == 429
    wait_s = int(refused.value.headers["retry-after"])
    now[0] += wait_s
    assert not is_refused(known, "192.0.2.1")


def test_guesses_at_one_key_wait_from_wherever_they_come(now):
    known = failures_of(None, (3, 60))
    for at in range(3):
        known.note(f"192.0.2.{at}", KEY + b"%d" % at)
    assert is_refused(known, "198.51.100.1", KEY + b"xyz")
    assert not is_refused(known, "198.51.100.1", b"cv_BBBBBBBBbbbb")


@pytest.mark.parametrize("start", [b"eyJhbGciOiJFUzI1NiJ9", b"sk-proj-AAAA"])
def test_what_begins_alike_for_everybody_is_not_counted_by_its_beginning(now, start):
    known = failures_of(None, (1, 60))
    for _ in range(5):
        known.note("192.0.2.1", start + b".x")
    assert not is_refused(known, "198.51.100.1", start + b".y")


def test_neighbours_of_one_ipv6_subscriber_count_together(now):
    known = failures_of((1, 60), None)
    known.note("2001:db8:1:2::5", KEY)
    assert is_refused(known, "2001:db8:1:2:ffff::1")
    assert not is_refused(known, "2001:db8:1:3::1")


def test_callers_without_an_address_are_not_counted_together(now):
    known = failures_of((1, 60), None)
    known.note("", KEY)
    assert not is_refused(known, "")


def test_memory_is_bounded_and_what_is_clear_is_forgotten(now, monkeypatch):
    monkeypatch.setattr(failures, "MOST_KNOWN", 100)
    pace = Pace(10, 60)
    for at in range(1000):
        pace.note(f"10.0.{at // 256}.{at % 256}", now[0])
    assert len(pace) == 100
    now[0] += 3600
    pace.note("192.0.2.1", now[0])
    assert len(pace) == 1


def test_off_lets_everything_through(now):
    known = failures_of(None, None)
    for _ in range(1000):
        known.note("192.0.2.1", KEY)
    assert not is_refused(known, "192.0.2.1")


def test_the_settings_say_counts_and_seconds():
    settings = ThrottleSettings(key_failures_per_address="30/5m", key_failures_per_prefix="off")
    assert settings.pace_of("key_failures_per_address") == (30, 300)
    assert settings.pace_of("key_failures_per_prefix") is None


def test_a_refusal_costs_microseconds():
    """10,000 a second of one address must leave a core free for everybody else."""
    known = failures_of((60, 60), (60, 60))
    for _ in range(100):
        known.note("192.0.2.1", KEY)
    began = time.process_time()
    refused = sum(is_refused(known, "192.0.2.1") for _ in range(10_000))
    assert refused == 10_000
    assert time.process_time() - began < 0.5
