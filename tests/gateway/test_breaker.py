"""The breaker leaves failing deployments out, lets one probe in, and heeds Retry-After."""

from __future__ import annotations

import pytest

from apps.gateway import breaker as module
from apps.gateway.breaker import FAILURES_TO_OPEN, OPEN_MAX_S, OPEN_S, Breaker, RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "clock", made)
    return made


def break_open(breaker: Breaker, deployment_id: int = 1) -> None:
    for _ in range(FAILURES_TO_OPEN):
        breaker.failed(deployment_id)


def test_opens_after_five_failures_in_a_row(clock: Clock) -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed(1)
    assert breaker.allows(1)
    breaker.failed(1)
    assert not breaker.allows(1)
    assert breaker.allows(2)
    assert breaker.open_ids() == [1]


def test_a_success_in_between_starts_the_count_anew(clock: Clock) -> None:
    breaker = Breaker()
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.failed(1)
    breaker.succeeded(1)
    breaker.failed(1)
    assert breaker.allows(1)


def test_one_probe_at_a_time_decides(clock: Clock) -> None:
    breaker = Breaker()
    break_open(breaker)
    clock.now += OPEN_S
    assert breaker.allows(1)
    assert not breaker.allows(1), "the probe is taken"
    breaker.failed(1)
    clock.now += OPEN_S
    assert not breaker.allows(1), "a failed probe doubles the break"
    clock.now += OPEN_S
    assert breaker.allows(1)
    breaker.succeeded(1)
    assert breaker.allows(1)
    assert breaker.allows(1)


def test_a_probe_that_proved_nothing_is_given_back(clock: Clock) -> None:
    breaker = Breaker()
    break_open(breaker)
    clock.now += OPEN_S
    assert breaker.allows(1)
    breaker.unused(1)
    assert breaker.allows(1)


def test_retry_after_opens_at_once_and_for_as_long(clock: Clock) -> None:
    breaker = Breaker()
    breaker.failed(1, retry_after_s=20)
    clock.now += 19
    assert not breaker.allows(1)
    clock.now += 1
    assert breaker.allows(1)


def test_no_break_is_longer_than_a_minute(clock: Clock) -> None:
    breaker = Breaker()
    breaker.failed(1, retry_after_s=86_400)
    clock.now += OPEN_MAX_S
    assert breaker.allows(1)


def test_deployments_that_are_gone_are_forgotten(clock: Clock) -> None:
    breaker = Breaker()
    break_open(breaker, 1)
    break_open(breaker, 2)
    breaker.keep_only([2])
    assert breaker.allows(1)
    assert not breaker.allows(2)


def test_retries_are_a_fifth_of_the_requests_and_a_reserve() -> None:
    budget = RetryBudget()
    retried = 0
    for _ in range(1000):
        budget.earn()
        retried += budget.spend()
    assert 200 <= retried <= 200 + RetryBudget.RESERVE
