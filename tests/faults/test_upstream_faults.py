"""The failure catalogue's upstream part (docs/faults.md): status, envelope and books of each.

Words are tokens, one costs 1,000 nano-USD as input and 2,000 as output; the prompt has four.
"""

import json
import time
from typing import Any

import httpx
import pytest

from apps.billing.limits import BudgetLimit
from apps.usage.records import AttemptEnd, AttemptStart, Intent
from tests.fakes.http import HTTP
from tests.fakes.upstream import CANARY, FakeUpstream
from tests.faults.conftest import PHASE_S, TOTAL_S
from tests.gateway.testbed import Gateway

PROMPT: Any = [{"role": "user", "content": "one two three four"}]
ANSWER = ["You", " said:", " one", " two", " three", " four"]
FULL_COST = 4 * 1_000 + 6 * 2_000


class Caller:
    """Sends one request for a faulty model and keeps what came back, however it ended."""

    def __init__(self, gateway: Gateway, upstream: FakeUpstream) -> None:
        self.gateway, self.upstream = gateway, upstream
        self.key = gateway.add_client()

    def __call__(self, *models: str, **more: Any) -> httpx.Response:
        self.gateway.add_model("m", self.upstream.openai_url, models=models)
        return HTTP.post(
            f"{self.gateway.openai_url}/chat/completions",
            json={"model": "m", "messages": PROMPT} | more,
            headers={"authorization": f"Bearer {self.key}"},
            timeout=10,
        )

    def attempts(self) -> list[AttemptEnd]:
        return [one for one in self.gateway.records() if isinstance(one, AttemptEnd)]

    def check_failed(self, reply: httpx.Response, status: int, code: str, attempts: int) -> None:
        """An envelope without a secret; every attempt on record; nothing charged."""
        error = reply.json()["error"]
        assert (reply.status_code, error["code"]) == (status, code)
        assert list(error) == ["message", "type", "param", "code"]
        assert CANARY not in reply.text + str(reply.headers)
        [settle] = self.gateway.wait_settled()
        assert (settle.outcome, settle.error_code, settle.http_status) == ("error", code, status)
        assert (settle.usage_source, settle.charged_nano) == ("none", 0)
        assert settle.attempts == attempts == len(self.upstream.seen) == len(self.attempts())
        starts = [one for one in self.gateway.records() if isinstance(one, Intent | AttemptStart)]
        assert len(starts) == attempts

    def check_estimated(self, delivered: int, outcome: str = "error", within: int = 1) -> None:
        """Charged by what was delivered, almost exactly what the provider generated."""
        [settle] = self.gateway.wait_settled()
        intent = next(one for one in self.gateway.records() if isinstance(one, Intent))
        usage = settle.usage
        assert (settle.outcome, settle.usage_source) == (outcome, "estimated")
        assert usage.input_tokens == intent.prompt_tokens
        assert abs(usage.output_tokens - delivered) <= within
        assert settle.charged_nano == usage.input_tokens * 1_000 + usage.output_tokens * 2_000

    def check_paid(self, cost: int, source: str = "provider", outcome: str = "ok") -> None:
        [settle] = self.gateway.wait_settled()
        assert (settle.outcome, settle.usage_source) == (outcome, source)
        assert settle.charged_nano == cost


@pytest.fixture
def call(gateway, upstream):
    return Caller(gateway, upstream)


def texts(reply: httpx.Response) -> list[str]:
    lines = [line[5:].strip() for line in reply.text.splitlines() if line.startswith("data:")]
    events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    said = [one["choices"][0]["delta"].get("content") for one in events if one.get("choices")]
    return [text for text in said if text]


def check_took(deadline_s: float, seconds: float) -> None:
    """Never before its deadline, and not long after; the margin is for a busy machine."""
    assert deadline_s <= seconds < deadline_s + 0.5


def error_in(reply: httpx.Response) -> dict[str, Any]:
    """The error event that a broken stream ends with, after which there is nothing."""
    assert "[DONE]" not in reply.text
    last = reply.text.rstrip("\n").rpartition("\n\n")[2]
    assert last.startswith("data: ")
    error: dict[str, Any] = json.loads(last[6:])["error"]
    return error


class TestF1RateLimits:
    def test_alone_passes_retry_after_on(self, call):
        reply = call("fault:429-retry-after-7")
        call.check_failed(reply, 429, "upstream_rate_limited", attempts=1)
        assert reply.headers["retry-after"] == "7"

    def test_another_deployment_is_tried(self, call, upstream):
        reply = call("fault:429-retry-after-7", "good")
        assert reply.status_code == 200
        assert [seen.status for seen in upstream.seen] == [429, 200]
        call.check_paid(FULL_COST)


class TestF2Failures:
    @pytest.mark.parametrize("status", [500, 502])
    def test_all_fail(self, call, status):
        reply = call(f"fault:{status}", f"fault:{status}+crlf", f"fault:{status}+gzip")
        call.check_failed(reply, 502, "upstream_error", attempts=3)

    @pytest.mark.parametrize("status", [503, 529])
    def test_overload(self, call, status):
        reply = call(f"fault:{status}", f"fault:{status}+crlf")
        call.check_failed(reply, 503, "upstream_overloaded", attempts=2)

    def test_never_more_than_three_attempts(self, call):
        reply = call(*[f"fault:500+slow-headers-{n}" for n in range(1, 7)])
        call.check_failed(reply, 502, "upstream_error", attempts=3)

    @pytest.mark.parametrize("stream", [True, False])
    def test_failover_is_not_seen_by_the_client(self, call, stream):
        reply = call("fault:500", "good", stream=stream)
        assert reply.status_code == 200
        call.check_paid(FULL_COST)


class TestF3Refusals:
    def test_400_keeps_its_meaning_and_hides_secrets(self, call):
        reply = call("fault:400-canary")
        call.check_failed(reply, 400, "upstream_invalid_request", attempts=1)

    def test_context_length_is_a_code_that_clients_know(self, call):
        reply = call("fault:context", "good")
        call.check_failed(reply, 400, "context_length_exceeded", attempts=1)
        assert reply.json()["error"]["param"] == "messages"

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refused_credential_is_not_the_callers_fault(self, call, status):
        reply = call(f"fault:{status}", f"fault:{status}+gzip")
        call.check_failed(reply, 502, "upstream_credential_refused", attempts=2)

    def test_a_refused_credential_fails_over(self, call):
        assert call("fault:401", "good").status_code == 200
        call.check_paid(FULL_COST)

    def test_404_is_the_providers_word(self, call):
        call.check_failed(call("fault:404"), 404, "model_not_found", attempts=1)

    def test_redirects_are_not_followed(self, call, upstream):
        reply = call("fault:redirect")
        call.check_failed(reply, 502, "upstream_error", attempts=1)
        assert len(upstream.seen) == 1


class TestF4Unreachable:
    def test_refused(self, call, gateway, faultproxy):
        port = faultproxy.to("127.0.0.1", 1).port
        faultproxy.stop_all()
        gateway.add_model("m", f"http://127.0.0.1:{port}/v1")
        reply = post(gateway, call.key)
        assert (reply.status_code, reply.json()["error"]["code"]) == (502, "upstream_unreachable")
        call.check_paid(0, source="none", outcome="error")

    def test_blackhole_ends_at_the_first_byte_deadline(self, call, gateway, upstream, faultproxy):
        proxy = faultproxy.to("127.0.0.1", upstream.port)
        proxy.toxics.is_blackhole = True
        gateway.add_model("m", f"{proxy.url}/v1")
        began = time.monotonic()
        reply = post(gateway, call.key)
        check_took(PHASE_S, time.monotonic() - began)
        assert (reply.status_code, reply.json()["error"]["code"]) == (504, "upstream_timeout")
        assert upstream.seen == []


def post(gateway: Gateway, key: str, **more: Any) -> httpx.Response:
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": PROMPT} | more,
        headers={"authorization": f"Bearer {key}"},
        timeout=10,
    )


class TestF5Slow:
    @pytest.mark.parametrize("stream", [True, False])
    def test_no_headers(self, call, stream):
        began = time.monotonic()
        reply = call("fault:stall-headers", stream=stream)
        check_took(PHASE_S, time.monotonic() - began)
        call.check_failed(reply, 504, "upstream_timeout", attempts=1)
        call.upstream.wait_until(lambda up: up.last.hung_up)

    def test_stall_in_a_stream(self, call):
        began = time.monotonic()
        reply = call("fault:stall-after-2", stream=True)
        check_took(PHASE_S, time.monotonic() - began)
        assert texts(reply) == ANSWER[:2]
        assert error_in(reply)["code"] == "upstream_timeout"
        call.check_estimated(2)

    def test_trickle_is_cut_at_the_total_deadline(self, call):
        began = time.monotonic()
        reply = call("fault:trickle-1", stream=True)
        check_took(TOTAL_S, time.monotonic() - began)
        assert error_in(reply)["code"] == "upstream_timeout"

    def test_stall_fails_over_before_the_first_byte(self, call):
        assert call("fault:stall-headers", "good").status_code == 200
        call.check_paid(FULL_COST)


class TestF6F7BrokenStreams:
    @pytest.mark.parametrize("count", range(1, 6))
    @pytest.mark.parametrize("how", ["reset", "eof", "ends"])
    def test_cut_at_every_chunk(self, call, how, count):
        reply = call(f"fault:{how}-after-{count}", stream=True)
        assert reply.status_code == 200
        assert texts(reply) == ANSWER[:count]
        assert error_in(reply)["code"] == "upstream_broken"
        call.check_estimated(count)
        assert len(call.upstream.seen) == 1

    @pytest.mark.parametrize("fault", ["reset", "eof"])
    @pytest.mark.parametrize("stream", [True, False])
    def test_before_the_first_byte_another_is_tried(self, call, fault, stream):
        reply = call(f"fault:{fault}", "good", stream=stream)
        assert reply.status_code == 200
        call.check_paid(FULL_COST)

    @pytest.mark.parametrize("fault", ["reset", "eof", "reset-after", "truncated-json"])
    def test_whole_answers_that_break(self, call, fault):
        reply = call(f"fault:{fault}", f"fault:{fault}+crlf")
        call.check_failed(reply, 502, "upstream_broken", attempts=2)

    def test_without_done_it_is_complete_all_the_same(self, call):
        reply = call("fault:no-done", stream=True)
        assert texts(reply) == ANSWER
        assert reply.text.endswith("data: [DONE]\n\n")
        call.check_paid(FULL_COST)

    def test_an_error_event_ends_the_stream(self, call):
        reply = call("fault:error-event-after-2", stream=True)
        assert texts(reply) == ANSWER[:2]
        assert CANARY not in reply.text
        assert error_in(reply)["type"] == "upstream_error"
        call.check_estimated(2)


class TestF8OddStreams:
    FAULTS = ("crlf", "comments", "multi-line-data", "no-space", "bom", "one-byte-slices",
              "one-write", "duplicate-chunks", "gzip", "crlf+one-byte-slices",
              "comments+multi-line-data+one-byte-slices")  # fmt: skip

    @pytest.mark.parametrize("fault", FAULTS)
    def test_legal_oddities_are_paid_once_and_passed_on(self, call, fault):
        reply = call(f"fault:{fault}", stream=True)
        assert reply.status_code == 200
        assert b"[DONE]" in reply.content
        call.check_paid(FULL_COST)

    def test_split_characters_arrive_whole(self, call):
        reply = call("fault:split-utf8", stream=True)
        assert "".join(texts(reply)) == "Zoë 日本語 🙂👩‍🚀 ça"

    def test_a_two_megabyte_line_passes(self, call):
        reply = call("fault:long-line", stream=True)
        assert [len(text) for text in texts(reply)] == [2_000_000, 2]
        call.check_paid(4 * 1_000 + 2 * 2_000)

    def test_half_an_event_never_ends_well(self, call):
        reply = call("fault:bad-event-after-2", stream=True)
        assert texts(reply) == ANSWER[:2]
        assert error_in(reply)["code"] in ("upstream_invalid", "upstream_broken")
        call.check_estimated(2)


class TestF9Rubbish:
    FAULTS = ("html-200", "empty-200", "bad-json", "null-json", "array-json", "deep-json")

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("stream", [True, False])
    def test_a_200_that_is_no_answer(self, call, fault, stream):
        reply = call(f"fault:{fault}", f"fault:{fault}+crlf", stream=stream)
        codes = {"upstream_invalid", "upstream_broken"} if stream else {"upstream_invalid"}
        assert reply.json()["error"]["code"] in codes
        call.check_failed(reply, 502, reply.json()["error"]["code"], attempts=2)
        assert "Traceback" not in reply.text

    def test_rubbish_fails_over(self, call):
        assert call("fault:html-200", "good").status_code == 200
        call.check_paid(FULL_COST)

    def test_a_stream_of_another_type(self, call):
        reply = call("fault:wrong-content-type", "good", stream=True)
        assert texts(reply) == ANSWER


class TestF10Bombs:
    @pytest.mark.parametrize("fault", ["huge-12", "gzip-bomb-12"])
    @pytest.mark.parametrize("stream", [True, False])
    def test_cut_at_the_cap(self, call, fault, stream):
        reply = call(f"fault:{fault}", stream=stream)
        assert reply.status_code == 502
        assert reply.json()["error"]["code"] in ("upstream_too_large", "upstream_invalid")
        assert len(reply.content) < 1_000


class TestF11Endless:
    def test_ends_at_the_total_deadline(self, call):
        began = time.monotonic()
        reply = call("fault:endless", stream=True)
        check_took(TOTAL_S, time.monotonic() - began)
        assert error_in(reply)["code"] == "upstream_timeout"
        call.upstream.wait_until(lambda up: up.last.hung_up)
        [settle] = call.gateway.wait_settled()
        told = len(texts(reply))
        assert settle.usage_source == "estimated"
        assert settle.usage.output_tokens >= told > 100

    @pytest.mark.parametrize("fault", ["endless", "loop"])
    def test_cut_when_the_budget_cannot_hold_more(self, call, fault):
        budget = BudgetLimit(1, 400_000, "month")
        call.key = call.gateway.add_client(budgets=(budget,))
        began = time.monotonic()
        reply = call(f"fault:{fault}", stream=True, max_tokens=50)
        assert time.monotonic() - began < TOTAL_S
        assert error_in(reply)["code"] == "budget_exhausted"
        call.upstream.wait_until(lambda up: up.last.hung_up)
        [settle] = call.gateway.wait_settled()
        spent = call.gateway.limits.usage_of(budget)
        assert (spent.spent_nano, spent.held_nano) == (settle.charged_nano, 0)
        assert settle.charged_nano <= budget.amount_nano + 2_000


class TestF12Usage:
    @pytest.mark.parametrize("fault", ["usage-twice", "usage-every-chunk", "usage-on-last-choice",
                                       "usage-unasked", "usage-decreasing"])  # fmt: skip
    @pytest.mark.parametrize("asks", [True, False])
    def test_the_last_valid_one_counts(self, call, fault, asks):
        options = {"stream_options": {"include_usage": True}} if asks else {}
        reply = call(f"fault:{fault}", stream=True, **options)
        assert texts(reply) == ANSWER
        assert asks or '"usage":{' not in reply.text.replace(" ", "")
        call.check_paid(FULL_COST)

    @pytest.mark.parametrize("fault", ["no-usage", "usage-null", "usage-negative", "usage-huge"])
    @pytest.mark.parametrize("stream", [True, False])
    def test_without_a_valid_one_it_is_estimated(self, call, fault, stream):
        reply = call(f"fault:{fault}", stream=stream)
        assert reply.status_code == 200
        call.check_estimated(6, outcome="ok", within=2)


class TestF13Duplicates:
    def test_passed_on_and_paid_once(self, call):
        reply = call("fault:duplicate-chunks+no-usage", stream=True)
        assert texts(reply) == [text for text in ANSWER for _ in "12"]
        call.check_estimated(6, outcome="ok")
