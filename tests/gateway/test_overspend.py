"""A budget holds whatever a request asks for and whatever the provider does with it.

One token costs 1,000 nano-USD as input and 2,000 as output.
"""

from typing import Any

import httpx
import pytest

from apps.billing.limits import BudgetLimit
from apps.usage.records import Intent
from tests.fakes.http import HTTP
from tests.fakes.upstream import FakeUpstream, Usage
from tests.gateway.testbed import Gateway

HELLO: Any = [{"role": "user", "content": "Hello there"}]
BUDGET = BudgetLimit(1, 1_000_000, "month")


@pytest.fixture
def key(gateway: Gateway, upstream: FakeUpstream) -> str:
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client(budgets=(BUDGET,))


def post(gateway: Gateway, key: str, **more: Any) -> httpx.Response:
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": HELLO} | more,
        headers={"authorization": f"Bearer {key}"},
    )


def spent(gateway: Gateway) -> int:
    usage = gateway.limits.usage_of(BUDGET)
    assert usage.held_nano == 0
    return usage.spent_nano


class TestTwoCaps:
    """Vendors differ in which of the two fields they follow."""

    @pytest.mark.parametrize(("newer", "older"), [(1, 100_000), (100_000, 1)])
    def test_the_larger_one_is_reserved(self, gateway, upstream, key, newer, older):
        reply = post(gateway, key, max_completion_tokens=newer, max_tokens=older)
        assert reply.status_code == 402
        assert upstream.seen == []

    def test_both_reach_the_provider_as_they_are(self, gateway, upstream, key):
        assert post(gateway, key, max_completion_tokens=7, max_tokens=5).status_code == 200
        sent = upstream.last.json
        assert (sent["max_completion_tokens"], sent["max_tokens"]) == (7, 5)
        [intent] = [one for one in gateway.records() if isinstance(one, Intent)]
        assert intent.max_output_tokens == 7


class TestLongChunks:
    """Some providers put many tokens in one event, so events alone do not tell the size."""

    LONG = ("a few words and then some more of them, " * 5,) * 2_000

    def test_a_provider_that_ignores_the_cap_is_cut(self, gateway, upstream, key):
        chunks = [f"{at} {text}" for at, text in enumerate(self.LONG)]
        upstream.will_stream(*chunks, pace_s=0.001, usage=Usage(4, 100_000))
        reply = post(gateway, key, stream=True, max_tokens=50)
        assert '"budget_exhausted"' in reply.text
        assert "[DONE]" not in reply.text
        upstream.wait_until(lambda up: up.last.hung_up)
        [settle] = gateway.wait_settled()
        assert settle.usage_source == "estimated"
        chunk_nano = 2_000 * len(chunks[0]) // 4
        assert spent(gateway) == settle.charged_nano
        assert settle.charged_nano <= 2 * BUDGET.amount_nano + chunk_nano

    def test_an_answer_within_its_cap_is_not(self, gateway, upstream, key):
        upstream.will_stream(*self.LONG[:3], usage=Usage(4, 130))
        reply = post(gateway, key, stream=True, max_tokens=130)
        assert reply.text.endswith("data: [DONE]\n\n")
        assert spent(gateway) == 4 * 1_000 + 130 * 2_000
