"""A budget holds whatever a request asks for and whatever the provider does with it.

One token costs 1,000 nano-USD as input and 2,000 as output.
"""

from typing import Any

import httpx
import pytest

from apps.billing.limits import BudgetLimit, QuotaLimit
from apps.usage.records import Intent
from tests.fakes.http import HTTP
from tests.fakes.upstream import FakeUpstream, Usage, UsageMode
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


def picture(url: str) -> Any:
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url"}]
    parts[1]["image_url"] = {"url": url}  # type: ignore[assignment]
    return [{"role": "user", "content": parts}]


class TestPictures:
    """Their tokens have nothing to do with their bytes."""

    INLINE = "data:image/png;base64," + "A" * 1_000_000

    @pytest.fixture
    def rich(self, gateway: Gateway, upstream: FakeUpstream) -> str:
        gateway.add_model("m", upstream.openai_url)
        tokens = QuotaLimit(2, "tokens", 60, 20_000)
        return gateway.add_client(budgets=(BudgetLimit(1, 100_000_000, "month"),), quotas=(tokens,))

    def test_one_by_reference_is_reserved_as_more_than_its_address(self, gateway, upstream, key):
        reply = post(gateway, key, messages=picture("https://example.com/a.png"), max_tokens=1)
        assert reply.status_code == 402
        assert upstream.seen == []

    @pytest.mark.parametrize("url", [INLINE, "https://example.com/a.png"])
    def test_what_it_costs_fits_in_what_is_reserved(self, gateway, upstream, rich, url):
        upstream.will_answer("A cat.", usage=Usage(1_500, 2))
        assert post(gateway, rich, messages=picture(url), max_tokens=5).status_code == 200
        [intent] = [one for one in gateway.records() if isinstance(one, Intent)]
        [settle] = gateway.settled()
        assert settle.charged_nano <= intent.reserved_nano <= 6_000_000
        assert 1_000 <= intent.prompt_tokens < 1_200

    def test_many_count_each(self, gateway, rich):
        messages = picture(self.INLINE[:100]) * 8
        assert post(gateway, rich, messages=messages, max_tokens=5).status_code == 200
        [intent] = [one for one in gateway.records() if isinstance(one, Intent)]
        assert 8_000 <= intent.prompt_tokens < 9_000
        assert intent.reserved_nano >= 8 * 5_000 * 1_000

    def test_a_hang_up_is_not_charged_by_the_bytes(self, gateway, upstream, rich):
        upstream.will_stream("A", " cat", hold_after=1, usage_mode=UsageMode.NONE)
        body = {"model": "m", "messages": picture(self.INLINE), "max_tokens": 5, "stream": True}
        with HTTP.stream(
            "POST",
            f"{gateway.openai_url}/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {rich}"},
        ) as reply:
            next(reply.iter_raw())
        [settle] = gateway.wait_settled()
        assert settle.outcome == "cancelled"
        assert 1_000_000 <= settle.charged_nano < 1_300_000

    @pytest.mark.parametrize("kind", ["file", "video_url"])
    def test_a_file_counts_as_a_long_one(self, gateway, upstream, rich, kind):
        content = [{"type": kind, kind: {"file_id": "file-1", "url": "https://example.com/a"}}]
        reply = post(gateway, rich, messages=[{"role": "user", "content": content}], max_tokens=5)
        assert reply.status_code == 402
        assert upstream.seen == []
