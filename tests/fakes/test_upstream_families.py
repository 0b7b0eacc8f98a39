"""Anthropic's own SDK and Gemini's wire format against the fake."""

import json
from typing import Any

import anthropic
import httpx
import pytest

from tests.fakes.http import HTTP
from tests.fakes.upstream import FakeUpstream, ToolCall, Usage

TOOL: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
HELLO: Any = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def client(upstream: FakeUpstream):
    with anthropic.Anthropic(
        base_url=upstream.anthropic_url, api_key="sk-ant", max_retries=0
    ) as made:
        yield made


def test_anthropic_message(client, upstream):
    upstream.will_answer("Hi you", usage=Usage(30, 2, cached=10, cache_write=5))
    reply = client.messages.create(model="c", max_tokens=50, messages=HELLO)
    assert (reply.content[0].text, reply.stop_reason) == ("Hi you", "end_turn")
    usage = reply.usage
    assert (usage.input_tokens, usage.output_tokens) == (15, 2)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (10, 5)
    assert upstream.last.saw_secret("sk-ant")


def test_anthropic_stream(client, upstream):
    with client.messages.stream(model="c", max_tokens=50, messages=HELLO) as stream:
        assert list(stream.text_stream) == ["You", " said:", " Hello", " there"]
        final = stream.get_final_message()
    assert (final.usage.input_tokens, final.usage.output_tokens) == (2, 4)
    assert upstream.last.tokens == 4


def test_anthropic_tools(client, upstream):
    upstream.will_answer("One moment", tool_calls=[ToolCall("get_weather", '{"city": "Rome"}')])
    with client.messages.stream(model="c", max_tokens=9, messages=HELLO, tools=[TOOL]) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert (final.content[1].input, final.stop_reason) == ({"city": "Rome"}, "tool_use")
    whole = client.messages.create(model="c", max_tokens=9, messages=HELLO, tools=[TOOL])
    assert whole.content[0].input == {"city": "Paris"}


def test_anthropic_refuses_what_the_real_one_refuses(upstream):
    url = f"{upstream.anthropic_url}/v1/messages"
    bare = HTTP.post(url, json={"model": "c", "max_tokens": 1, "messages": HELLO})
    assert (bare.status_code, bare.json()["error"]["message"]) == (
        400,
        "anthropic-version: header is required",
    )
    version = {"anthropic-version": "2023-06-01"}
    no_cap = HTTP.post(url, json={"model": "c", "messages": HELLO}, headers=version)
    assert no_cap.json()["error"]["message"] == "max_tokens: Field required"


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("fault:401", anthropic.AuthenticationError),
        ("fault:429", anthropic.RateLimitError),
        ("fault:529", anthropic.InternalServerError),
    ],
)
def test_anthropic_failures(client, model, error):
    with pytest.raises(error):
        client.messages.create(model=model, max_tokens=5, messages=HELLO)


def test_anthropic_error_event(client):
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        client.messages.stream(
            model="fault:error-event-after-1", max_tokens=9, messages=HELLO
        ) as s,
    ):
        s.get_final_message()


def gemini(upstream: FakeUpstream, model: str, verb: str, **more: Any) -> httpx.Response:
    contents = [{"role": "user", "parts": [{"text": "Hello there"}]}]
    url = f"{upstream.gemini_url}/models/{model}:{verb}"
    body = {"contents": contents} | more
    return HTTP.post(url, json=body, headers={"x-goog-api-key": "g"}, timeout=5)


def test_gemini_answer(upstream):
    upstream.will_answer("Hi", usage=Usage(20, 9, cached=3, reasoning=4))
    body = gemini(upstream, "gemini-x", "generateContent").json()
    assert body["candidates"][0]["content"]["parts"] == [{"text": "Hi"}]
    assert body["candidates"][0]["finishReason"] == "STOP"
    usage = body["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (20, 3)
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"]) == (5, 4)
    assert usage["totalTokenCount"] == 29
    assert (upstream.last.model, upstream.last.saw_secret("g")) == ("gemini-x", True)


def test_gemini_stream_grows_its_usage(upstream):
    reply = gemini(upstream, "g", "streamGenerateContent?alt=sse")
    chunks = [json.loads(frame[6:]) for frame in reply.text.split("\r\n\r\n") if frame]
    texts = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks]
    assert texts == ["You", " said:", " Hello", " there", ""]
    counts = [chunk["usageMetadata"]["candidatesTokenCount"] for chunk in chunks]
    assert counts == [1, 2, 3, 4, 4]
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


def test_gemini_tools_faults_and_embeddings(upstream):
    tools = [{"functionDeclarations": [{"name": "f", "parameters": TOOL["input_schema"]}]}]
    called = gemini(upstream, "g", "generateContent", tools=tools).json()
    part = called["candidates"][0]["content"]["parts"][0]
    assert part == {"functionCall": {"name": "f", "args": {"city": "Paris"}}}
    failed = gemini(upstream, "fault%3A429", "generateContent")
    assert (failed.status_code, failed.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    requests = [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}}]
    many = gemini(upstream, "e", "batchEmbedContents", requests=requests).json()
    assert [len(one["values"]) for one in many["embeddings"]] == [4, 4]
