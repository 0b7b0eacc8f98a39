"""The same catalogue where ChatVault translates: Anthropic's and Gemini's own formats."""

from typing import Any

import httpx
import pytest

from tests.fakes.http import HTTP
from tests.fakes.upstream import CANARY
from tests.faults.test_upstream_faults import ANSWER, FULL_COST, Caller, error_in, texts
from tests.gateway.testbed import Gateway

PROMPT: Any = [{"role": "user", "content": "one two three four"}]


class Translated(Caller):
    """A caller whose models are of one translated family."""

    family = ""

    def __call__(self, *models: str, **more: Any) -> httpx.Response:
        up = self.upstream
        base_url = up.gemini_url if self.family == "gemini" else up.anthropic_url
        self.gateway.add_model("m", base_url, family=self.family, models=models)
        return HTTP.post(
            f"{self.gateway.openai_url}/chat/completions",
            json={"model": "m", "messages": PROMPT} | more,
            headers={"authorization": f"Bearer {self.key}"},
            timeout=10,
        )


@pytest.fixture(params=["anthropic", "gemini"])
def call(request, gateway: Gateway, upstream) -> Translated:
    made = Translated(gateway, upstream)
    made.family = request.param
    return made


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("400-canary", 400, "upstream_invalid_request"),
        ("404", 404, "model_not_found"),
        ("429-retry-after-7", 429, "upstream_rate_limited"),
        ("401", 502, "upstream_credential_refused"),
        ("403", 502, "upstream_credential_refused"),
        ("redirect", 502, "upstream_error"),
    ],
)
def test_refusals(call, fault, status, code):
    reply = call(f"fault:{fault}")
    call.check_failed(reply, status, code, attempts=len(call.upstream.seen))
    assert reply.headers.get("retry-after") == ("7" if status == 429 else None)


@pytest.mark.parametrize(
    "fault", ["500", "503", "529", "reset", "eof", "html-200", "stall-headers"]
)
@pytest.mark.parametrize("stream", [True, False])
def test_failover(call, fault, stream):
    reply = call(f"fault:{fault}", "good", stream=stream)
    assert reply.status_code == 200
    call.check_paid(FULL_COST)


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("how", ["reset-after", "eof-after", "ends-after", "stall-after"])
def test_broken_streams_never_look_finished(call, how, count):
    reply = call(f"fault:{how}-{count}", stream=True)
    assert texts(reply) == ANSWER[:count]
    code = "upstream_timeout" if how == "stall-after" else "upstream_broken"
    assert error_in(reply)["code"] == code
    [settle] = call.gateway.wait_settled()
    assert settle.outcome == "error"
    assert abs(settle.usage.output_tokens - count) <= 1
    assert len(call.upstream.seen) == 1


def test_an_error_event_is_sanitised(call):
    reply = call("fault:error-event-after-2", stream=True)
    assert texts(reply) == ANSWER[:2]
    assert error_in(reply)["type"] == "upstream_error"
    assert CANARY not in reply.text


@pytest.mark.parametrize(
    "fault",
    ["crlf", "comments", "multi-line-data", "no-space", "bom", "one-byte-slices", "one-write",
     "gzip", "crlf+one-byte-slices"],
)  # fmt: skip
def test_odd_but_legal_streams_say_the_same(call, fault):
    reply = call(f"fault:{fault}", stream=True)
    assert "".join(texts(reply)) == "".join(ANSWER)
    assert reply.text.endswith("data: [DONE]\n\n")
    call.check_paid(FULL_COST)


def test_split_characters_arrive_whole(call):
    reply = call("fault:split-utf8", stream=True)
    assert "".join(texts(reply)) == "Zoë 日本語 🙂👩‍🚀 ça"


@pytest.mark.parametrize(
    "fault", ["html-200", "empty-200", "bad-json", "null-json", "array-json", "deep-json"]
)
@pytest.mark.parametrize("stream", [True, False])
def test_rubbish(call, fault, stream):
    reply = call(f"fault:{fault}", f"fault:{fault}+crlf", stream=stream)
    code = reply.json()["error"]["code"]
    assert code in ("upstream_invalid", "upstream_broken")
    call.check_failed(reply, 502, code, attempts=2)


@pytest.mark.parametrize("fault", ["no-usage", "usage-null", "usage-negative", "usage-huge"])
@pytest.mark.parametrize("stream", [True, False])
def test_without_a_valid_usage_it_is_estimated(call, fault, stream):
    reply = call(f"fault:{fault}", stream=stream)
    assert reply.status_code == 200
    call.check_estimated(6, outcome="ok", within=2)


@pytest.mark.parametrize("fault", ["usage-twice", "usage-decreasing"])
def test_the_last_valid_usage_counts(call, fault):
    reply = call(f"fault:{fault}", stream=True)
    assert "".join(texts(reply)) == "".join(ANSWER)
    call.check_paid(FULL_COST)
