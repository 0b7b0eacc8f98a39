import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from apps.providers.adapters.anthropic.error import read_error
from apps.providers.adapters.anthropic.request import JSON_TOOL
from apps.providers.adapters.anthropic.response import read_answer
from apps.providers.adapters.anthropic.stream import open_stream
from apps.providers.adapters.anthropic.usage import read_usage
from apps.providers.adapters.contract import Usage
from chatvault.lib.errors import UpstreamBroken, UpstreamInvalid, UpstreamRefused
from tests.providers.adapters.comparison import of_chunks
from tests.providers.adapters.shapes import CANARY, call, endpoint
from tests.providers.adapters.slicing import bytewise, cut, one_moment, run

USAGE = {
    "input_tokens": 10,
    "output_tokens": 20,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 50,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
    "output_tokens_details": {"thinking_tokens": 5},
}
COUNTED = Usage(
    input_tokens=160,
    output_tokens=20,
    cached_input_tokens=100,
    cache_write_tokens=20,
    cache_write_1h_tokens=30,
    reasoning_tokens=5,
)


def message(*content, stop="end_turn", **more) -> bytes:
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x"}
    told |= {"content": content, "stop_reason": stop, "usage": USAGE, **more}
    return json.dumps(told).encode()


def read(*content, **more) -> ChatCompletion:
    return ChatCompletion.model_validate_json(read_answer(call(), message(*content, **more)).body)


def test_usage_is_counted_as_openai_counts():
    answer = read_answer(call(), message({"type": "text", "text": "Hi"}))
    assert answer.usage == COUNTED
    told = json.loads(answer.body)["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (
        160,
        20,
        180,
    )
    assert told["prompt_tokens_details"]["cached_tokens"] == 100


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 2**63},
        {"input_tokens": 1.5, "output_tokens": 1},
        "many",
    ],
)
def test_usage_that_is_not_valid_is_none_and_the_text_is_weighed(usage):
    answer = read_answer(call(), message({"type": "text", "text": "Grüße"}, usage=usage))
    assert answer.usage is None
    assert answer.output_text_bytes == 7
    assert "usage" not in json.loads(answer.body)


def test_hour_long_caches_are_never_more_than_all_caches():
    told = {**USAGE, "cache_creation_input_tokens": 10}
    assert read_usage(told).cache_write_1h_tokens == 10


def test_thinking_text_and_calls_each_have_their_place():
    told = read(
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "So: "},
        {"type": "text", "text": "this."},
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
        stop="tool_use",
    )
    choice = told.choices[0]
    assert told.id == "msg_1"
    assert told.model == "claude-x"
    assert choice.message.content == "So: this."
    assert choice.message.reasoning_content == "hm"
    assert choice.message.thinking_blocks == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xx"},
    ]
    assert choice.message.tool_calls[0].function.arguments == '{"a":1}'
    assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("of_the_future", "stop"),
    ],
)
def test_every_stop_reason_has_a_finish_reason(stop, finish):
    assert read({"type": "text", "text": "x"}, stop=stop).choices[0].finish_reason == finish


def test_the_json_tools_input_is_the_answer():
    told = read(
        {"type": "text", "text": "Here:"},
        {"type": "tool_use", "id": "1", "name": JSON_TOOL, "input": {"city": "Rome"}},
        stop="tool_use",
    )
    assert told.choices[0].message.content == '{"city":"Rome"}'
    assert told.choices[0].message.tool_calls is None
    assert told.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"<html>", b"[]", b'{"content":"x"}', b'{"content":[{"type":"text"}]}', b"\xff"],
)
def test_a_200_that_is_no_answer_is_invalid(body):
    with pytest.raises(UpstreamInvalid):
        read_answer(call(), body)


def test_an_error_with_status_200_is_a_refusal():
    with pytest.raises(UpstreamRefused) as caught:
        read_answer(call(), b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}')
    assert caught.value.http_status == 503


def event(kind: str, **more) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def block(index: int, content: dict, *deltas: dict) -> bytes:
    out = event("content_block_start", index=index, content_block=content)
    for delta in deltas:
        out += event("content_block_delta", index=index, delta=delta)
    return out + event("content_block_stop", index=index)


START = event(
    "message_start",
    message={"id": "msg_1", "model": "claude-x", "usage": {**USAGE, "output_tokens": 1}},
)
PING = event("ping")


def end(stop: str = "end_turn", tokens: int = 20) -> bytes:
    usage = {"output_tokens": tokens, "output_tokens_details": {"thinking_tokens": 5}}
    last = event("message_delta", delta={"stop_reason": stop}, usage=usage)
    return last + event("message_stop")


TEXT = block(
    0,
    {"type": "text", "text": ""},
    {"type": "text_delta", "text": "Hel"},
    {"type": "text_delta", "text": "lo"},
)
THINKING = block(
    0,
    {"type": "thinking", "thinking": ""},
    {"type": "thinking_delta", "thinking": "h"},
    {"type": "thinking_delta", "thinking": "m"},
    {"type": "signature_delta", "signature": "sig"},
)
CALLS = block(
    1,
    {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}},
    {"type": "input_json_delta", "partial_json": ""},
    {"type": "input_json_delta", "partial_json": '{"a"'},
    {"type": "input_json_delta", "partial_json": ":1}"},
) + block(2, {"type": "tool_use", "id": "toolu_2", "name": "noop", "input": {}})
WHOLE = START + PING + THINKING + TEXT + CALLS + end("tool_use")


def stream(body: bytes, **more):
    reader = open_stream(call(stream=True, **more), endpoint("anthropic"))
    out = reader.feed(body) + reader.finish()
    *events, done, rest = out.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [json.loads(one[6:]) for one in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks, reader


def test_a_stream_is_put_together_to_the_same_as_the_whole_answer():
    chunks, reader = stream(WHOLE)
    assert of_chunks(chunks) == {
        "text": "Hello",
        "reasoning": "hm",
        "calls": [("add", {"a": 1}), ("noop", {})],
        "finish": "tool_calls",
    }
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {chunk["id"] for chunk in chunks} == {"msg_1"}
    signed = [b for c in chunks for b in c["choices"][0]["delta"].get("thinking_blocks", [])]
    assert signed == [{"type": "thinking", "thinking": "hm", "signature": "sig"}]
    assert reader.usage == COUNTED
    assert reader.output_text_bytes == len('hmHello{"a":1}{}')
    assert all("usage" not in chunk for chunk in chunks)


def test_a_client_that_asks_gets_usage_at_the_end_only():
    reader = open_stream(call(stream=True, wants_usage=True), endpoint("anthropic"))
    before = reader.feed(WHOLE)
    assert b'"prompt_tokens"' not in before
    assert b"[DONE]" not in before
    last, done, _ = reader.finish().split(b"\n\n")
    assert json.loads(last[6:])["usage"]["total_tokens"] == 180
    assert json.loads(last[6:])["choices"] == []
    assert done == b"data: [DONE]"


def test_usage_counts_from_the_message_delta_on():
    reader = open_stream(call(stream=True), endpoint("anthropic"))
    reader.feed(START + TEXT)
    assert reader.usage is None
    reader.feed(end())
    assert reader.usage == COUNTED


def test_the_json_tools_input_is_streamed_as_text():
    answer = block(
        0,
        {"type": "tool_use", "id": "1", "name": JSON_TOOL, "input": {}},
        {"type": "input_json_delta", "partial_json": '{"a":'},
        {"type": "input_json_delta", "partial_json": "1}"},
    )
    chunks, _ = stream(START + answer + end("tool_use"))
    told = of_chunks(chunks)
    assert (told["text"], told["calls"], told["finish"]) == ('{"a":1}', [], "stop")


@pytest.mark.parametrize(("kind", "status"), [("overloaded_error", 503), ("rate_limit_error", 429)])
def test_an_error_event_comes_after_what_was_delivered(kind, status):
    reader = open_stream(call(stream=True), endpoint("anthropic"))
    error = event("error", error={"type": kind, "message": f"no {CANARY}"})
    assert b"Hel" in reader.feed(START + TEXT + error)
    with pytest.raises(UpstreamRefused) as caught:
        reader.feed(b"")
    assert caught.value.http_status == status
    assert CANARY not in caught.value.message
    assert caught.value.retryable


@pytest.mark.parametrize("body", [b"", START, START + TEXT, START + THINKING + CALLS])
def test_an_end_before_the_stop_reason_is_broken(body):
    reader = open_stream(call(stream=True), endpoint("anthropic"))
    reader.feed(body)
    with pytest.raises(UpstreamBroken):
        reader.finish()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>\n\n",
        b"data: {\n\n",
        b"data: []\n\n",
        b'data: {"type":"message_start"}\n\n',
        START + b'data: {"type":"content_block_delta","delta":{"type":"text_delta"}}\n\n',
    ],
)
def test_what_is_not_its_protocol_is_invalid(body):
    reader = open_stream(call(stream=True), endpoint("anthropic"))
    with pytest.raises(UpstreamInvalid):
        reader.feed(body)
        reader.feed(b"")


pieces = st.lists(
    st.sampled_from(
        [
            *(START, PING, TEXT, THINKING, CALLS, end(), end("max_tokens", 30), b": ping\n\n"),
            *(event("error", error={"type": "api_error"}), b"data: rubbish\n\n", b"data: {"),
            *(TEXT.replace(b"\n", b"\r\n"), TEXT.replace(b"\n", b"\r"), "data: ä".encode()),
        ]
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(pieces, st.lists(st.integers(0, 5000), max_size=20))
def test_any_slicing_gives_the_same_stream(body, points):
    def reader():
        return open_stream(call(stream=True, wants_usage=True), endpoint("anthropic"))

    with one_moment():
        whole = run(reader(), [body])
        assert run(reader(), cut(body, points)) == whole
        assert run(reader(), bytewise(body)) == whole


def refuse(status, kind, text, headers=None):
    body = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_1"}
    return read_error(status, headers or {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "kind", "text", "public", "code"),
    [
        (400, "invalid_request_error", "max_tokens: too large", 400, "upstream_invalid_request"),
        (400, "invalid_request_error", "prompt is too long: 9 > 8", 400, "context_length_exceeded"),
        (
            400,
            "invalid_request_error",
            "Your credit balance is too low",
            502,
            "upstream_quota_exhausted",
        ),
        (401, "authentication_error", f"invalid {CANARY}", 502, "upstream_credential_refused"),
        (404, "not_found_error", "model: claude-9", 404, "model_not_found"),
        (413, "request_too_large", "too large", 413, "upstream_invalid_request"),
        (429, "rate_limit_error", "slow", 429, "upstream_rate_limited"),
        (500, "api_error", f"oops {CANARY}", 502, "upstream_error"),
        (529, "overloaded_error", "Overloaded", 503, "upstream_overloaded"),
    ],
)
def test_errors_keep_their_meaning(status, kind, text, public, code):
    error = refuse(status, kind, text, {"retry-after": "3"})
    assert (error.http_status, error.public_code) == (public, code)
    assert CANARY not in json.dumps(error.openai())
    assert (error.headers == {"retry-after": "3"}) == (status in (429, 500, 529))


def test_the_field_that_a_message_begins_with_is_the_param():
    error = refuse(400, "invalid_request_error", "messages.0.content: text is empty")
    assert error.param == "messages.0.content"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"x"}', b"[" * 100_000, b"\xff"])
def test_rubbish_still_gives_a_sentence(body):
    assert read_error(500, {}, body).message == "The provider failed to answer."
