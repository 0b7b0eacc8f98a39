"""Providers whose budgets are used up, on the request's way."""

import json

import httpx
import pytest

from chatvault.lib import clock
from tests.fakes.http import HTTP


@pytest.fixture
def two(gateway, upstream):
    """The model `m` on two deployments, in order, each of a provider of its own: 1 and 2."""
    gateway.add_model("m", upstream.openai_url, models=("first", "second"))
    return gateway


def ask(gateway, key: str, **headers: str) -> httpx.Response:
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5},
        headers={"authorization": f"Bearer {key}"} | headers,
    )


def spend_out(gateway, *providers: int, for_s: float = 60) -> None:
    until_s = int(clock.wall_s() + for_s)
    gateway.plane.provider_limits.left = dict.fromkeys(providers, (0, until_s))


def test_one_that_is_spent_out_is_passed_over_and_comes_back(two, upstream):
    key = two.add_client()
    spend_out(two, 1)
    assert ask(two, key).status_code == 200
    spend_out(two, 1, for_s=-1)
    assert ask(two, key).status_code == 200
    spend_out(two)
    assert ask(two, key).status_code == 200
    assert [json.loads(entry.body)["model"] for entry in upstream.seen] == [
        "second", "first", "first",
    ]  # fmt: skip


def test_what_was_spent_here_counts_before_the_ledger_says_so(two, upstream):
    key = two.add_client()
    ends_s = int(clock.wall_s() + 60)
    assert ask(two, key).status_code == 200
    [first] = two.wait_settled(1)
    assert first.cost_nano > 0
    two.plane.provider_limits.left = {1: (2 * first.cost_nano, ends_s)}
    for count in (2, 3, 4):
        assert ask(two, key).status_code == 200
        two.wait_settled(count)
    assert [json.loads(entry.body)["model"] for entry in upstream.seen] == [
        "first", "first", "first", "second",
    ]  # fmt: skip
    two.plane.provider_limits.left = {1: (3 * first.cost_nano, ends_s)}
    assert ask(two, key).status_code == 200
    assert json.loads(upstream.last.body)["model"] == "first"


def test_when_all_are_the_answer_says_so_and_nothing_is_sent_or_charged(two, upstream):
    key = two.add_client()
    spend_out(two, 1, 2)
    reply = ask(two, key)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "provider_budget_exhausted")
    assert upstream.seen == []
    assert two.settled() == []
    assert two.limits.in_flight == 0
    spend_out(two)
    assert ask(two, key).status_code == 200


def test_a_failure_of_the_other_one_is_told_as_what_it_is(two, upstream):
    key = two.add_client()
    spend_out(two, 2)
    upstream.will_fail(500, times=None)
    assert ask(two, key).status_code == 502


def test_a_dry_run_tells(two):
    key = two.add_client()
    spend_out(two, 1)
    told = ask(two, key, **{"x-chatvault-dry-run": "true"}).json()
    assert [one["has_room"] for one in told["deployments"]] == [False, True]
    spend_out(two, 1, 2)
    told = ask(two, key, **{"x-chatvault-dry-run": "true"}).json()
    assert told["allowed"] is False
    assert told["refusal"]["code"] == "provider_budget_exhausted"
