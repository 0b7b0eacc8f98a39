"""OpenAI-compatible exchanges pass through: same bytes, less what only ChatVault asked for."""

import json
from typing import Any

import httpx
import pytest

from tests.corpus.records import Kind, Record, Tokens, load
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import INPUT_NANO, OUTPUT_NANO, SECRET, Gateway

RECORDS = [record for record in load() if record.kind is Kind.OPENAI]
ANSWERS = [record for record in RECORDS if not record.is_error and not record.is_stream]
STREAMS = [record for record in RECORDS if record.is_stream and record.breaks_off is None]
BROKEN = [record for record in RECORDS if record.breaks_off is not None]
ERRORS = [record for record in RECORDS if record.is_error]
ALIAS = "an-alias-of-ours"
SLICE = 997

# Vendors that are known by their host name; in front of the fake they need to be named.
VENDORS = {"openai", "groq", "mistral", "cerebras", "deepseek", "openrouter", "huggingface"}
# Vendors that know the older name of the cap only, as the adapter declares them.
OLD_CAP = {"mistral", "deepseek", "openrouter", "huggingface"}
KEPT_BACK = ("set-cookie", "openai-project", "openai-organization", "mistral-correlation-id")


def ids(records: list[Record]) -> dict[str, Any]:
    return {"argvalues": records, "ids": [f"{one.provider}:{one.id}" for one in records]}


class Replay:
    """Serves one record from the fake, sends its request to the gateway, and looks at both."""

    def __init__(self, record: Record, gateway: Gateway, upstream: FakeUpstream) -> None:
        self._record, self._gateway, self._upstream = record, gateway, upstream
        options = {"vendor": record.provider} if record.provider in VENDORS else {}
        end = "/embeddings" if record.operation == "embeddings" else "/chat/completions"
        base_url = upstream.url + record.path.partition("#")[0].removesuffix(end)
        gateway.add_model(ALIAS, base_url, model=record.model, options=options)
        self._path = end
        self._key = gateway.add_client()

    def send(self, http: httpx.Client, request: dict[str, Any] | None = None) -> httpx.Response:
        body = self._record.body
        slices = [body[at : at + SLICE] for at in range(0, len(body), SLICE)]
        self._upstream.will_reply_raw(
            self._record.status, self._record.headers, slices if self._record.is_stream else body
        )
        return http.post(
            self._gateway.openai_url + self._path,
            json=(request or self._record.request) | {"model": ALIAS},
            headers={"authorization": f"Bearer {self._key}"},
        )

    def expected_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """The client's request with only what ChatVault must change."""
        sent = request | {"model": self._record.model}
        if self._record.provider in OLD_CAP and "max_completion_tokens" in sent:
            sent["max_tokens"] = sent.pop("max_completion_tokens")
        if sent.get("stream"):
            sent["stream_options"] = (sent.get("stream_options") or {}) | {"include_usage": True}
            if self._record.provider == "mistral":  # tells it unasked, and refuses the question
                del sent["stream_options"]
        return sent

    def check_sent(self, request: dict[str, Any]) -> None:
        seen = self._upstream.seen
        assert len(seen) == 1
        assert seen[0].json == self.expected_request(request)
        assert seen[0].saw_secret(SECRET)
        assert self._key not in json.dumps(seen[0].headers)

    def check_books(self, outcome: str, source: str) -> None:
        [settle] = self._gateway.wait_settled()
        assert (settle.outcome, settle.usage_source, settle.attempts) == (outcome, source, 1)
        if source == "provider":
            assert self._record.tokens is not None
            assert tokens_of(settle.usage) == self._record.tokens
        usage = settle.usage
        cost = usage.input_tokens * INPUT_NANO + usage.output_tokens * OUTPUT_NANO
        assert settle.charged_nano == cost


def tokens_of(usage: Any) -> Tokens:
    return Tokens(
        usage.input_tokens,
        usage.output_tokens,
        cached=usage.cached_input_tokens,
        cache_write=usage.cache_write_tokens,
        reasoning=usage.reasoning_tokens,
    )


def check_head(reply: httpx.Response) -> None:
    assert reply.headers["x-chatvault-alias"] == ALIAS
    assert not [name for name in KEPT_BACK if name in reply.headers]


@pytest.mark.parametrize("record", **ids(ANSWERS))
def test_answer(record, gateway, upstream, http):
    replay = Replay(record, gateway, upstream)
    reply = replay.send(http)
    assert reply.status_code == 200
    assert reply.content == record.body
    assert reply.headers["content-type"] == "application/json"
    check_head(reply)
    replay.check_sent(record.request)
    replay.check_books("ok", "provider")


@pytest.mark.parametrize("record", **ids(STREAMS))
def test_stream(record, gateway, upstream, http):
    replay = Replay(record, gateway, upstream)
    reply = replay.send(http)
    assert reply.status_code == 200
    assert reply.content == record.body
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    check_head(reply)
    replay.check_sent(record.request)
    replay.check_books("ok", "provider")


@pytest.mark.parametrize(
    "record", **ids([one for one in STREAMS if "stream_options" in one.request])
)
def test_stream_whose_usage_only_chatvault_asked_for(record, gateway, upstream, http):
    replay = Replay(record, gateway, upstream)
    request = {key: value for key, value in record.request.items() if key != "stream_options"}
    reply = replay.send(http, request)
    assert reply.content == without_usage(record)
    replay.check_sent(request)
    replay.check_books("ok", "provider")


def without_usage(record: Record) -> bytes:
    """The recorded bytes as the provider would have sent them without `include_usage`."""
    kept = []
    for block in record.body.split(b"\n\n"):
        if not block.startswith(b"data: {"):
            kept.append(block)
            continue
        event = json.loads(block[6:])
        if event["choices"] == []:
            continue
        head, mark, _ = block.partition(b',"usage":')
        if event.get("usage"):
            assert list(event)[-1] == "usage"
            kept.append(head + b"}")
        else:
            kept.append(block.replace(b',"usage":null', b"") if mark else block)
    return b"\n\n".join(kept)


@pytest.mark.parametrize("record", **ids(BROKEN))
def test_stream_that_breaks_off(record, gateway, upstream, http):
    replay = Replay(record, gateway, upstream)
    reply = replay.send(http)
    assert reply.status_code == 200
    assert b"[DONE]" not in reply.content
    events = [block for block in reply.text.split("\n\n") if "data: {" in block]
    assert len(events) == len(record.events)
    assert [json.loads(block[6:]) for block in events[:-1]] == [
        data for _, data in record.events[:-1]
    ]
    error = json.loads(events[-1][6:])["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"] == record.breaks_off["message"]
    replay.check_sent(record.request)
    replay.check_books("error", "provider" if record.tokens else "estimated")


@pytest.mark.parametrize("record", **ids(ERRORS))
def test_error(record, gateway, upstream, http):
    replay = Replay(record, gateway, upstream)
    reply = replay.send(http)
    told = record.json["error"]
    assert reply.status_code == record.status
    assert reply.json() == {
        "error": {
            "message": told["message"],
            "type": told["type"],
            "param": told.get("param"),
            "code": told["code"] or "upstream_invalid_request",
        }
    }
    replay.check_sent(record.request)
    replay.check_books("error", "none")
