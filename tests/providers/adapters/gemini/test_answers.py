import base64
import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from apps.providers.adapters.contract import Usage
from apps.providers.adapters.gemini.error import read_error
from apps.providers.adapters.gemini.response import read_answer
from apps.providers.adapters.gemini.stream import open_stream
from apps.providers.adapters.gemini.usage import Found, read_usage
from chatvault.lib.errors import UpstreamBroken, UpstreamInvalid, UpstreamRefused
from tests.providers.adapters.comparison import of_chunks
from tests.providers.adapters.shapes import CANARY, call, endpoint, exchanges
from tests.providers.adapters.slicing import bytewise, cut, one_moment, run

USAGE = {
    "promptTokenCount": 100,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "cachedContentTokenCount": 60,
    "totalTokenCount": 150,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 90},
        {"modality": "AUDIO", "tokenCount": 10},
    ],
}
COUNTED = Usage(
    input_tokens=100,
    output_tokens=50,
    cached_input_tokens=60,
    reasoning_tokens=30,
    audio_input_tokens=10,
)


def generated(*parts, finish="STOP", **more) -> dict:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    told = {"candidates": [candidate], "usageMetadata": USAGE}
    return {**told, "modelVersion": "gemini-x", "responseId": "r1", **more}


def read(*parts, **more) -> ChatCompletion:
    body = json.dumps(generated(*parts, **more)).encode()
    return ChatCompletion.model_validate_json(read_answer(call(), body).body)


def test_thoughts_are_output_and_the_prompts_caches_are_input():
    assert read_usage(USAGE) == COUNTED
    inclusive = {**USAGE, "candidatesTokenCount": 50}
    assert read_usage(inclusive) == COUNTED


def test_what_googles_tools_read_is_input_but_for_search():
    told = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 90,
        "candidatesTokenCount": 5,
        "totalTokenCount": 105,
    }
    assert read_usage(told) == Usage(input_tokens=100, output_tokens=5)
    assert read_usage(told, Found(has_searched=True)) == Usage(input_tokens=10, output_tokens=5)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        [],
        {"promptTokenCount": -1},
        {"promptTokenCount": 1, "candidatesTokenCount": 2**63},
        {"promptTokenCount": 1, "candidatesTokenCount": 1.5},
        {"promptTokenCount": "1"},
    ],
)
def test_usage_that_is_not_valid_is_none(told):
    assert read_usage(told) is None


def test_thoughts_text_and_calls_each_have_their_place():
    told = read(
        {"text": "hm", "thought": True},
        {"text": "So: "},
        {"text": "this."},
        {"functionCall": {"name": "add", "args": {"a": 1}}, "thoughtSignature": "U2ln"},
        {"functionCall": {"id": "native", "name": "noop"}},
        {"executableCode": {"code": "1", "language": "PYTHON"}},
    )
    choice = told.choices[0]
    assert (told.id, told.model) == ("r1", "gemini-x")
    assert choice.message.content == "So: this."
    assert choice.message.reasoning_content == "hm"
    one, two = choice.message.tool_calls
    assert (one.function.name, one.function.arguments) == ("add", '{"a":1}')
    assert one.id.endswith("__thought__U2ln")
    assert (two.id, two.function.arguments) == ("native", "{}")
    assert choice.finish_reason == "tool_calls"


def test_ids_that_we_make_are_the_same_for_the_same_answer():
    part = {"functionCall": {"name": "add", "args": {}}}
    one, two = (read(part, part).choices[0].message.tool_calls for _ in range(2))
    assert [call.id for call in one] == [call.id for call in two]
    assert one[0].id != one[1].id
    assert read(part, responseId="r2").choices[0].message.tool_calls[0].id != one[0].id


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("OF_THE_FUTURE", "stop"),
    ],
)
def test_every_reason_has_a_finish_reason(told, finish):
    assert read({"text": "x"}, finish=told).choices[0].finish_reason == finish


def test_a_call_that_was_cut_off_is_no_call_to_answer():
    part = {"functionCall": {"name": "add", "args": {}}}
    assert read(part, finish="MAX_TOKENS").choices[0].finish_reason == "length"


def test_a_blocked_prompt_is_an_empty_filtered_answer():
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    answer = read_answer(call(), json.dumps(body).encode())
    told = ChatCompletion.model_validate_json(answer.body)
    assert (told.choices[0].finish_reason, told.choices[0].message.content) == (
        "content_filter",
        None,
    )
    assert answer.usage == Usage(input_tokens=4)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b"<html>", b'{"candidates":[]}', b'{"candidates":"x"}', b"\xff"),
        b'{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}',
    ],
)
def test_a_200_that_is_no_answer_is_invalid(body):
    with pytest.raises(UpstreamInvalid):
        read_answer(call(), body)


def event(told: dict, end: bytes = b"\r\n\r\n") -> bytes:
    return b"data: " + json.dumps(told).encode() + end


THOUGHT = event(generated({"text": "hm", "thought": True}, finish=None))
TEXT = event(generated({"text": "Hel"}, finish=None)) + event(
    generated({"text": "lo"}, finish=None)
)
CALLS = event(
    generated(
        {"functionCall": {"name": "add", "args": {"a": 1}}},
        {"functionCall": {"name": "noop", "args": {}}},
        finish=None,
    )
)
END = event(generated())


def stream(body: bytes, **more):
    reader = open_stream(call(stream=True, **more), endpoint("gemini"))
    out = reader.feed(body) + reader.finish()
    *events, done, rest = out.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [json.loads(one[6:]) for one in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks, reader


def test_a_stream_is_put_together_to_the_same_as_the_whole_answer():
    chunks, reader = stream(THOUGHT + TEXT + CALLS + END)
    assert of_chunks(chunks) == {
        "text": "Hello",
        "reasoning": "hm",
        "calls": [("add", {"a": 1}), ("noop", {})],
        "finish": "tool_calls",
    }
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {(chunk["id"], chunk["model"]) for chunk in chunks} == {("r1", "gemini-x")}
    assert reader.usage == COUNTED
    assert reader.output_text_bytes == len('hmHello{"a":1}{}')


def test_a_client_that_asks_gets_usage_at_the_end_only():
    reader = open_stream(call(stream=True, wants_usage=True), endpoint("gemini"))
    assert b"prompt_tokens" not in reader.feed(TEXT + END)
    last, done, _ = reader.finish().split(b"\n\n")
    assert json.loads(last[6:])["usage"]["total_tokens"] == 150
    assert done == b"data: [DONE]"


def test_the_last_count_wins_but_output_never_shrinks():
    def told(prompt, output):
        usage = {"promptTokenCount": prompt, "candidatesTokenCount": output}
        return event(generated({"text": "x"}, finish=None, usageMetadata=usage))

    _, reader = stream(
        told(169, 0) + told(79, 12) + told(79, 3) + event(generated(usageMetadata=7))
    )
    assert reader.usage == Usage(input_tokens=79, output_tokens=12)


def test_candidates_are_choices():
    def candidate(index, text, finish=None):
        told = {"index": index, "content": {"parts": [{"text": text}]}}
        return {**told, "finishReason": finish} if finish else told

    body = event({"candidates": [candidate(0, "a"), candidate(1, "b")]})
    body += event({"candidates": [candidate(1, "c", "STOP"), candidate(0, "d", "MAX_TOKENS")]})
    chunks, _ = stream(body)
    texts, finishes = {0: "", 1: ""}, {}
    for choice in (chunk["choices"][0] for chunk in chunks):
        texts[choice["index"]] += choice["delta"].get("content") or ""
        if choice["finish_reason"]:
            finishes[choice["index"]] = choice["finish_reason"]
    assert texts == {0: "ad", 1: "bc"}
    assert finishes == {0: "length", 1: "stop"}


def test_a_blocked_prompt_ends_the_stream_as_filtered():
    chunks, reader = stream(event({"promptFeedback": {"blockReason": "OTHER"}}))
    assert of_chunks(chunks)["finish"] == "content_filter"
    assert reader.is_complete


def test_an_error_comes_after_what_was_delivered():
    error = {"error": {"code": 429, "message": f"no {CANARY}", "status": "RESOURCE_EXHAUSTED"}}
    reader = open_stream(call(stream=True), endpoint("gemini"))
    assert b"Hel" in reader.feed(TEXT + event(error))
    with pytest.raises(UpstreamRefused) as caught:
        reader.feed(b"")
    assert caught.value.http_status == 429
    assert CANARY not in caught.value.message


@pytest.mark.parametrize("body", [b"", TEXT, THOUGHT + CALLS])
def test_an_end_before_the_finish_reason_is_broken(body):
    reader = open_stream(call(stream=True), endpoint("gemini"))
    reader.feed(body)
    with pytest.raises(UpstreamBroken):
        reader.finish()


pieces = st.lists(
    st.sampled_from(
        [
            *(TEXT, THOUGHT, CALLS, END, TEXT.replace(b"\r", b""), TEXT.replace(b"\n", b"")),
            *(b": ping\n\n", b"data: rubbish\n\n", b"data: {", "data: ä".encode()),
            event({"error": {"code": 503}}),
        ]
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(pieces, st.lists(st.integers(0, 5000), max_size=20))
def test_any_slicing_gives_the_same_stream(body, points):
    def reader():
        return open_stream(call(stream=True, wants_usage=True), endpoint("gemini"))

    with one_moment():
        whole = run(reader(), [body])
        assert run(reader(), cut(body, points)) == whole
        assert run(reader(), bytewise(body)) == whole


def test_embeddings_come_as_numbers_or_packed():
    body = b'{"embeddings":[{"values":[0.5,0.25]}],"usageMetadata":{"promptTokenCount":7}}'
    answer = read_answer(call({"input": "x"}, operation="embeddings"), body)
    told = CreateEmbeddingResponse.model_validate_json(answer.body)
    assert told.data[0].embedding == [0.5, 0.25]
    assert answer.usage == Usage(input_tokens=7)
    packs = call({"input": "x", "encoding_format": "base64"}, operation="embeddings")
    packed = json.loads(read_answer(packs, body).body)["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == (0.5, 0.25)
    silent = read_answer(packs, b'{"embeddings":[{"values":[1]}]}')
    assert silent.usage is None


def test_every_recorded_embedding_is_read():
    seen = 0
    for exchange in exchanges():
        if "batchEmbedContents" not in exchange["path"] or exchange["status"] != 200:
            continue
        body = exchange["body"].encode()
        answer = read_answer(call({"input": "x"}, operation="embeddings"), body)
        told = CreateEmbeddingResponse.model_validate_json(answer.body)
        assert told.data[0].embedding == json.loads(body)["embeddings"][0]["values"]
        seen += 1
    assert seen == 3


def refuse(code, message="", status="", **more):
    body = {"error": {"code": code, "message": message, "status": status, **more}}
    return read_error(code, {}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("code", "message", "status", "public", "said"),
    [
        (400, "Invalid value at 'x'", "INVALID_ARGUMENT", 400, "upstream_invalid_request"),
        (400, f"User location {CANARY}", "FAILED_PRECONDITION", 502, "upstream_error"),
        (403, f"denied {CANARY}", "PERMISSION_DENIED", 502, "upstream_credential_refused"),
        (404, "models/x is not found", "NOT_FOUND", 404, "model_not_found"),
        (429, "quota", "RESOURCE_EXHAUSTED", 429, "upstream_rate_limited"),
        (500, f"internal {CANARY}", "INTERNAL", 502, "upstream_error"),
        (503, "overloaded", "UNAVAILABLE", 503, "upstream_overloaded"),
    ],
)
def test_errors_keep_their_meaning(code, message, status, public, said):
    error = refuse(code, message, status)
    assert (error.http_status, error.public_code) == (public, said)
    assert CANARY not in json.dumps(error.openai())


def test_a_bad_key_is_told_as_what_it_is():
    error = refuse(400, "API key not valid.", details=[{"reason": "API_KEY_INVALID"}])
    assert error.public_code == "upstream_credential_refused"


def test_too_long_a_prompt_is_told_as_what_it_is():
    error = refuse(
        400, "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    )
    assert error.public_code == "context_length_exceeded"


def test_the_delay_in_the_details_becomes_retry_after():
    error = refuse(429, details=[{"retryDelay": "34.07s"}])
    assert error.headers == {"retry-after": "35"}


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"details":[1]}}', b"[" * 100_000]
)
def test_rubbish_still_gives_a_sentence(body):
    assert read_error(500, {}, body).message == "The provider failed to answer."
