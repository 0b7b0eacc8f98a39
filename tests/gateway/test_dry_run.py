"""A dry run tells what the real call would do, and does none of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.billing.limits import BudgetLimit, BudgetState, QuotaLimit
from apps.billing.limits.contract import Stage
from apps.gateway import dry_run_pace
from apps.gateway.dry_run_shapes import DryRunSerializer
from apps.gateway.prompt_size import prompt_size
from tests.fakes.http import HTTP
from tests.gateway.testbed import INPUT_NANO, OUTPUT_NANO

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
PATHS = {
    "chat/completions": CHAT,
    "completions": {"model": "m", "prompt": ["Hello", "there"], "max_tokens": 9},
    "embeddings": {"model": "m", "input": "Hello there"},
}
USD = 10**9


def ask(gateway, key, path="chat/completions", *, dry="true", **changes):
    return HTTP.post(
        f"{gateway.openai_url}/{path}",
        content=json.dumps(PATHS[path] | changes).encode(),
        headers={
            "authorization": f"Bearer {key}",
            "content-type": "application/json",
            **({"x-chatvault-dry-run": dry} if dry is not None else {}),
        },
    )


def usd(nano: int) -> str:
    return f"{nano // USD}.{nano % USD:09d}"


@pytest.fixture
def two(gateway, upstream):
    gateway.add_model("m", upstream.openai_url, models=("first", "second"))
    return gateway


def untouched(gateway, upstream):
    return not upstream.seen and not gateway.records() and gateway.limits.in_flight == 0


def test_it_tells_the_range_that_admission_would_reserve_by(two, upstream):
    budget = BudgetLimit(1, 5 * USD, "month")
    key = two.add_client(budgets=(budget,), quotas=(QuotaLimit(1, "requests", 60, 7),))
    found = ask(two, key, max_tokens=100)
    assert found.status_code == 200
    document = found.json()
    body = json.dumps(CHAT | {"max_tokens": 100}).encode()
    about, most = prompt_size(body)
    worst = most * INPUT_NANO + 100 * OUTPUT_NANO
    least = about * INPUT_NANO + OUTPUT_NANO
    assert document["object"] == "chatvault.dry_run"
    assert (document["allowed"], document["refusal"]) == (True, None)
    assert document["tokens"] == {
        "input": {"expected": about, "max": most},
        "output": {"min": 1, "max": 100},
    }
    assert document["charge"] == {"min_usd": usd(least), "max_usd": usd(worst)}
    assert document["reserves_usd"] == usd(worst)
    assert document["limits"]["requests"]["remaining"] == 7
    assert [one["deployment"] for one in document["deployments"]] == ["first@1", "second@2"]
    assert [one["price_version"] for one in document["deployments"]] == [1, 2]
    assert untouched(two, upstream)


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_reserved_sent_or_written_however_often(two, upstream, path):
    budget = BudgetLimit(1, 5 * USD, "month")
    quotas = (QuotaLimit(1, "requests", 60, 2), QuotaLimit(2, "concurrency", 1, 1))
    key = two.add_client(budgets=(budget,), quotas=quotas)
    for _ in range(5):
        reply = ask(two, key, path, stream=False) if path != "embeddings" else ask(two, key, path)
        assert reply.json()["allowed"] is True
    assert untouched(two, upstream)
    assert two.limits.used(quotas) == {1: 0, 2: 0}
    assert two.limits.usage_of(budget).held_nano == 0
    assert two.plane.live == {} and two.plane.gate.running == 0


def test_a_streamed_request_is_described_in_json(two, upstream):
    reply = ask(two, two.add_client(), stream=True)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["object"] == "chatvault.dry_run"
    assert untouched(two, upstream)


def test_the_most_covers_what_the_real_call_costs(two, upstream):
    key = two.add_client()
    document = ask(two, key, max_tokens=50).json()
    real = ask(two, key, dry=None, max_tokens=50)
    charge = float(real.headers["x-chatvault-cost-usd"])
    assert charge <= float(document["charge"]["max_usd"])
    assert len(two.settled()) == 1


@pytest.mark.parametrize("which", ["requests", "tokens", "spent", "concurrency", "unpriced"])
def test_a_refusal_is_told_as_the_real_call_would_give_it(two, upstream, which):
    budget = BudgetLimit(1, 1_000, "month")
    quotas: tuple[QuotaLimit, ...] = ()
    if which in ("requests", "concurrency"):
        quotas = (QuotaLimit(1, which, 60, 0),)
    if which == "tokens":
        quotas = (QuotaLimit(1, "tokens", 60, 10),)
    model = "m"
    if which == "unpriced":
        model = "free"
        two.add_model("free", upstream.openai_url, is_priced=False)
    budgets = (budget,) if which in ("spent", "unpriced") else ()
    key = two.add_client(quotas=quotas, budgets=budgets)
    document = ask(two, key, model=model).json()
    real = ask(two, key, dry=None, model=model)
    assert document["allowed"] is False
    refusal = document["refusal"]
    assert refusal["status"] == real.status_code
    told = {name: refusal[name] for name in ("message", "type", "param", "code")}
    assert told == real.json()["error"]
    if which in ("requests", "tokens"):
        left = document["limits"][which]
        assert str(left["limit"]) == real.headers[f"x-ratelimit-limit-{which}"]
        assert str(left["remaining"]) == real.headers[f"x-ratelimit-remaining-{which}"]
        assert left["scope"] == "client" and left["reset_s"] > 0
    assert refusal["scope"] == (None if which == "unpriced" else "client")
    assert document["is_priced"] is (which != "unpriced")
    if which == "unpriced":
        assert document["charge"] is None  # never 0
    assert untouched(two, upstream)


def test_money_in_flight_is_told_as_held(two):
    budget = BudgetLimit(1, 5 * USD, "month")
    key = two.add_client(budgets=(budget,))

    async def spend():
        two.limits.restore([BudgetState(1, two.limits.usage_of(budget).window_start_s, 5 * USD)])

    two._server.run(spend())
    assert ask(two, key).json()["refusal"]["code"] == "budget_exhausted"


def test_providers_without_room_are_told_and_all_of_them_refuse(two, upstream):
    two.limit("provider", 1, QuotaLimit(1, "requests", 60, 0))
    key = two.add_client()
    document = ask(two, key).json()
    assert [one["has_room"] for one in document["deployments"]] == [False, True]
    assert document["allowed"] is True
    two.limit("provider", 2, QuotaLimit(2, "requests", 60, 0))
    document = ask(two, key).json()
    assert document["refusal"]["scope"] == "provider"
    assert document["allowed"] is False


def test_a_resting_deployment_is_told_and_its_probe_is_not_claimed(two):
    for _ in range(5):
        two.plane.breaker.failed(1)
    found = ask(two, two.add_client()).json()["deployments"]
    assert [one["is_resting"] for one in found] == [True, False]
    assert two.plane.breaker._circuits[1].probing is False


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"model": "none"}, 404), ({"n": "two"}, 400), ({"max_tokens": 0}, 400)],
    ids=["model", "type", "zero"],
)
def test_what_is_wrong_with_the_request_is_answered_as_ever(two, upstream, changes, status):
    key = two.add_client()
    reply = ask(two, key, **changes)
    assert reply.status_code == status
    assert reply.json() == ask(two, key, dry=None, **changes).json()
    assert untouched(two, upstream)


def test_strangers_learn_nothing(two):
    assert ask(two, "cv_none").status_code == 401


@pytest.mark.parametrize("value", ["yes", "tru", "2"])
def test_a_wish_that_is_not_understood_costs_nothing(two, upstream, value):
    reply = ask(two, two.add_client(), dry=value)
    assert reply.status_code == 400
    assert "x-chatvault-dry-run" in reply.json()["error"]["message"]
    assert untouched(two, upstream)


def test_false_is_a_real_call(two, upstream):
    assert ask(two, two.add_client(), dry="false").json()["object"] == "chat.completion"
    assert len(upstream.seen) == 1


def test_a_client_that_asks_too_often_waits_and_others_do_not(two, monkeypatch):
    monkeypatch.setattr(dry_run_pace, "MOST_PER_MINUTE", 3)
    key, other = two.add_client(), two.add_client()
    found = [ask(two, key).status_code for _ in range(5)]
    assert found[:3] == [200] * 3 and found[-1] == 429
    assert ask(two, other).status_code == 200
    assert ask(two, key, dry=None).status_code == 200


def test_the_drf_door_tells_the_same(two):
    key = two.add_client(quotas=(QuotaLimit(1, "requests", 60, 5),))
    body = json.dumps(CHAT).encode()
    reply = APIClient().generic(
        "POST",
        "/v1/chat/completions",
        body,
        content_type="application/json",
        headers={"authorization": f"Bearer {key}", "x-chatvault-dry-run": "true"},
    )
    assert reply.status_code == 200
    found, other = json.loads(reply.content), ask(two, key).json()
    for document in (found, other):
        del document["id"]
        document["limits"]["requests"]["reset_s"] = 0.0
    assert found == other
    shown = DryRunSerializer(other | {"id": "0" * 32}).data
    assert set(shown) == {*other, "id"}  # the description names every field


def test_stages_that_are_reached_are_told(two, upstream):
    two.add_model("small", upstream.openai_url)
    stages = (Stage(50, "warn"), Stage(60, "degrade", alias="small"))
    budget = BudgetLimit(1, 10 * USD, "month", stages=stages)
    key = two.add_client(budgets=(budget,))
    before = ask(two, key, max_tokens=5).json()
    assert (before["budget_warning"], before["cheaper_model"]) == (None, None)

    async def spend():
        two.limits.restore([BudgetState(1, two.limits.usage_of(budget).window_start_s, 7 * USD)])

    two._server.run(spend())
    document = ask(two, key, max_tokens=5).json()
    assert document["budget_warning"].startswith("client 70")
    assert document["cheaper_model"] == "small"
    assert untouched(two, upstream)
