"""Quotas of models, people and providers, and those that only observe, on the request's way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.billing.limits import Override, QuotaLimit
from apps.gateway.tally import write_tally
from apps.usage.records import QuotaRow, Tally
from chatvault.lib import clock
from tests.fakes.http import HTTP

GOOD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def ask(gateway, key, **changes):
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json=GOOD | changes,
        headers={"authorization": f"Bearer {key}"},
    )


def requests(ceiling: int, number: int = 1, **more: Any) -> QuotaLimit:
    return QuotaLimit(number, "requests", 60, ceiling, **more)


def counts(gateway):
    async def write():
        write_tally(gateway.plane)

    gateway._server.run(write())
    return [row for one in gateway.records() if isinstance(one, Tally) for row in one.quotas]


@pytest.fixture
def two(gateway, upstream):
    """The model `m` on two deployments, in order, each of a provider of its own: 1 and 2."""
    gateway.add_model("m", upstream.openai_url, models=("first", "second"))
    return gateway


def served_by(upstream):
    return [json.loads(entry.body)["model"] for entry in upstream.seen]


def test_a_model_has_a_ceiling_whoever_asks(two, upstream):
    two.limit("alias", 1, requests(2))
    two.add_model("other", upstream.openai_url)
    keys = [two.add_client(), two.add_client()]
    assert [ask(two, key).status_code for key in (*keys, *keys)] == [200, 200, 429, 429]
    reply = ask(two, keys[0])
    assert reply.json()["error"]["message"].startswith("This alias may use 2 requests per 60 s.")
    assert reply.headers["x-chatvault-ratelimit-scope"] == "refused=alias, requests=alias"
    assert ask(two, keys[0], model="other").status_code == 200
    assert two.limits.in_flight == 0


def test_a_person_has_a_ceiling_over_all_tokens_and_keys_have_not(two):
    two.limit("user", 7, requests(2))
    key = two.add_client()
    tokens = [two.add_token(key, user_id=7, key_id=0, session_id=at) for at in (1, 2)]
    stranger = two.add_token(key, user_id=8, key_id=0, session_id=3)
    found = [ask(two, one).status_code for one in (*tokens, *tokens, stranger, key)]
    assert found == [200, 200, 429, 429, 200, 200]


def test_headers_of_an_answer_tell_the_tightest_scope(two):
    two.limit("alias", 1, requests(5, 1), QuotaLimit(2, "output_tokens", 60, 90_000))
    key = two.add_client(quotas=(requests(3, 3), QuotaLimit(4, "tokens", 60, 10_000_000)))
    reply = ask(two, key, max_tokens=50)
    assert reply.headers["x-ratelimit-limit-requests"] == "3"
    assert reply.headers["x-ratelimit-limit-tokens"] == "90000"
    assert reply.headers["x-ratelimit-remaining-tokens"] == "89950"
    assert reply.headers["x-chatvault-ratelimit-scope"] == "requests=client, tokens=alias"


def test_output_that_was_not_used_comes_back(two):
    key = two.add_client(quotas=(QuotaLimit(1, "output_tokens", 60, 100),))
    assert [ask(two, key, max_tokens=90).status_code for _ in range(3)] == [200] * 3
    assert ask(two, key, max_tokens=99).status_code == 429


class TestProviders:
    def test_one_whose_quota_is_reached_is_passed_over(self, two, upstream):
        two.limit("provider", 1, requests(1))
        key = two.add_client()
        assert [ask(two, key).status_code for _ in range(3)] == [200] * 3
        assert served_by(upstream) == ["first", "second", "second"]

    def test_when_all_are_reached_the_answer_is_429_and_nothing_is_sent_or_held(
        self, two, upstream
    ):
        two.limit("provider", 1, requests(1, 1))
        two.limit("provider", 2, requests(1, 2))
        key = two.add_client(quotas=(requests(9, 3),))
        replies = [ask(two, key) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 429, 429]
        error = replies[2].json()["error"]
        assert error["code"] == "rate_limit_exceeded"
        assert error["message"].startswith("This provider may use 1 requests per 60 s.")
        assert int(replies[2].headers["retry-after"]) > 1
        assert len(upstream.seen) == len(two.settled()) == 2
        assert two.limits.in_flight == 0
        reply = ask(two, two.add_client(quotas=(requests(9, 3),)))
        assert reply.status_code == 429  # and the client's own quota was given back each time
        assert two.limits.used([requests(9, 3)]) == {3: 2}

    def test_passing_over_is_no_attempt(self, gateway, upstream):
        gateway.add_model("m", upstream.openai_url, models=tuple("abcde"))
        for number in range(1, 5):
            gateway.limit("provider", number, requests(1, number))
            quota = requests(1, number)
            gateway._server.run(fill(gateway, number, quota))
        assert ask(gateway, gateway.add_client()).status_code == 200
        assert served_by(upstream) == ["e"]

    def test_a_call_that_fails_counts_as_a_request_and_gives_its_tokens_back(self, two, upstream):
        tokens, calls = QuotaLimit(1, "tokens", 60, 10_000), requests(10, 2)
        two.limit("provider", 1, tokens, calls)
        upstream.will_fail(500, model="first")
        assert ask(two, two.add_client(), max_tokens=3000).status_code == 200
        assert two.limits.used([tokens, calls]) == {1: 0, 2: 1}
        assert served_by(upstream) == ["first", "second"]
        assert two.limits.in_flight == 0

    def test_slots_are_held_while_a_call_runs_and_freed_at_its_end(self, two, upstream):
        two.limit("provider", 1, QuotaLimit(1, "concurrency", 1, 1))
        key = two.add_client()
        upstream.will_stream("Hello", " you", hold_after=1, model="first")
        with HTTP.stream(
            "POST",
            f"{two.openai_url}/chat/completions",
            json=GOOD | {"stream": True},
            headers={"authorization": f"Bearer {key}"},
        ) as running:
            assert running.status_code == 200
            assert two.limits.used([QuotaLimit(1, "concurrency", 1, 1)]) == {1: 1}
            assert ask(two, key).status_code == 200
            assert served_by(upstream) == ["first", "second"]
        two.wait_for(lambda: two.limits.in_flight == 0)
        assert two.limits.used([QuotaLimit(1, "concurrency", 1, 1)]) == {1: 0}


async def fill(gateway, number, quota):
    from apps.billing.limits import Demand, ScopeLimits

    scope = ScopeLimits("provider", number, (quota,))
    await gateway.limits.reserve(bytes([number]) * 16, (scope,), Demand(0, 0))


class TestObserving:
    def test_nothing_is_refused_and_what_would_have_been_is_counted(self, two):
        key = two.add_client(quotas=(requests(1, 5, observes=True), requests(3, 6)))
        assert [ask(two, key).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert counts(two) == [QuotaRow(5, 0, 2), QuotaRow(6, 1, 0)]
        assert counts(two) == [QuotaRow(5, 0, 2), QuotaRow(6, 1, 0)]  # and only once
        figures = {family.name: values for family, values in two.plane.quota_counts.figures()}
        assert figures["chatvault_quota_refusals_total"] == {("client", "requests"): (1,)}
        assert figures["chatvault_quota_would_refuse_total"] == {("client", "requests"): (2,)}

    def test_callers_are_not_told(self, two):
        reply = ask(two, two.add_client(quotas=(requests(1, 5, observes=True),)))
        assert not [name for name in reply.headers if "ratelimit" in name]

    def test_a_provider_can_be_observed_too(self, two, upstream):
        two.limit("provider", 1, requests(1, 5, observes=True))
        key = two.add_client()
        assert [ask(two, key).status_code for _ in range(3)] == [200] * 3
        assert served_by(upstream) == ["first"] * 3
        assert counts(two) == [QuotaRow(5, 0, 2)]


def test_a_ceiling_for_a_while_ends_without_a_new_snapshot(two, monkeypatch):
    now = clock.wall_s()
    raised = requests(1, 1, overrides=(Override(3, now - 1, now + 600),))
    key = two.add_client(quotas=(raised,))
    view = two.plane.view
    assert [ask(two, key).status_code for _ in range(4)] == [200, 200, 200, 429]
    monkeypatch.setattr(two.limits, "_wall_ns", lambda: int((now + 601) * 10**9))
    reply = ask(two, key)
    assert reply.status_code == 429
    assert reply.headers["x-ratelimit-limit-requests"] == "1"
    assert two.plane.view is view
