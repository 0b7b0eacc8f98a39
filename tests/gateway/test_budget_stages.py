"""Budgets on the way to their amount: they warn, slow down, hand over, and only then refuse."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from apps.billing.limits import BudgetLimit, BudgetState, QuotaLimit, ScopeLimits, Stage
from apps.billing.limits.periods import period_bounds
from apps.usage.records import Intent
from chatvault.lib import clock
from tests.fakes.http import HTTP

AMOUNT = 10**12
WARNING = "x-chatvault-budget-warning"


def limit(*stages: Stage, refuses_at: int | None = None) -> BudgetLimit:
    return BudgetLimit(1, AMOUNT, "month", refuses_at=refuses_at, stages=stages)


def spent(gateway: Any, percent: int) -> None:
    start_s, _ = period_bounds("month", int(clock.wall_s()))
    gateway.limits.restore([BudgetState(1, start_s, AMOUNT * percent // 100)])


def post(gateway: Any, key: str, **headers: str) -> httpx.Response:
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5},
        headers={"authorization": f"Bearer {key}"} | headers,
    )


@pytest.fixture
def ready(gateway, upstream):
    gateway.add_model("m", upstream.openai_url, models=("dear",))
    gateway.add_model("cheap", upstream.openai_url, models=("small",))
    return gateway


def test_a_warning_begins_at_its_line_and_names_nobody(ready):
    key = ready.add_client(budgets=(limit(Stage(80, "warn", -1)),))
    spent(ready, 79)
    assert WARNING not in post(ready, key).headers
    spent(ready, 91)
    assert post(ready, key).headers[WARNING] == "client 91%"


def test_a_soft_budget_serves_beyond_its_amount(ready):
    key = ready.add_client(budgets=(limit(Stage(80, "warn", -1)),))
    spent(ready, 250)
    reply = post(ready, key)
    assert (reply.status_code, reply.headers[WARNING]) == (200, "client 250%")


def test_the_hard_line_still_refuses(ready, upstream):
    key = ready.add_client(budgets=(limit(Stage(80, "warn", -1), refuses_at=100),))
    spent(ready, 100)
    assert post(ready, key).status_code == 402
    assert upstream.seen == []


def test_a_stage_that_only_observes_says_nothing(ready):
    key = ready.add_client(budgets=(limit(Stage(50, "observe", -1)),))
    spent(ready, 60)
    assert WARNING not in post(ready, key).headers


def test_the_pace_is_held_above_the_line_and_only_there(ready, upstream):
    stage = Stage(80, "throttle", -1, requests_per_minute=2)
    pace = QuotaLimit(-1, "requests", 60, 2, observes=True)
    key = ready.add_client(budgets=(limit(stage),), quotas=(pace,))
    assert [post(ready, key).status_code for _ in range(4)] == [200] * 4
    spent(ready, 85)
    reply = post(ready, key)
    assert reply.status_code == 429
    assert "85 %" in reply.json()["error"]["message"]
    assert reply.headers["retry-after"] == "30"
    assert len(upstream.seen) == 4
    ready.wait_settled(4)
    assert ready.limits.in_flight == 0
    assert ready.limits.usage_of(limit(stage)).held_nano == 0


def test_a_cheaper_model_serves_and_the_row_says_what_was_asked(ready, upstream):
    key = ready.add_client(budgets=(limit(Stage(90, "degrade", -1, alias="cheap")),))
    spent(ready, 95)
    reply = post(ready, key)
    assert reply.status_code == 200
    assert upstream.last.json["model"] == "small"
    assert reply.headers["x-chatvault-degraded-to"] == "cheap"
    [intent] = [one for one in ready.records() if isinstance(one, Intent)]
    assert intent.alias == "m"


def test_a_budget_on_a_tag_binds_requests_that_have_it(ready, upstream):
    key = ready.add_client()
    budget = BudgetLimit(1, 1, "month")
    ready._more_limits["tag"] = {"project=atlas": ScopeLimits("tag", 0, budgets=(budget,))}
    ready._adopt()
    tagged = {"x-chatvault-tags": "env=prod,project=atlas"}
    refused = post(ready, key, **tagged)
    assert refused.status_code == 402
    assert "budget of this tag" in refused.json()["error"]["message"]
    assert upstream.seen == []
    assert post(ready, key, **{"x-chatvault-tags": "project=other"}).status_code == 200
    assert post(ready, key).status_code == 200
