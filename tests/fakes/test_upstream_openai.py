"""The official openai SDK talks to the fake directly: what it cannot read, no client could."""

import json
from typing import Any

import openai
import pytest

from tests.fakes.upstream import FakeUpstream, ToolCall, Usage

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
HELLO: Any = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
def client(upstream: FakeUpstream):
    with openai.OpenAI(base_url=upstream.openai_url, api_key="sk-a", max_retries=0) as made:
        yield made


def test_echoes_and_counts_words(client, upstream):
    reply = client.chat.completions.create(model="m", messages=HELLO)
    assert reply.choices[0].message.content == "You said: Hello there"
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 4)
    seen = upstream.last
    assert (seen.outcome, seen.tokens, seen.model, seen.status) == ("finished", 4, "m", 200)
    assert seen.saw_secret("sk-a")
    assert "sk-a" not in json.dumps(seen.headers)
    assert seen.json["messages"] == HELLO


def test_streams_usage_only_when_asked(client):
    plain = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
    assert [chunk.choices[0].delta.content or "" for chunk in plain] == [
        "", "You", " said:", " Hello", " there", "",
    ]  # fmt: skip
    assert plain[-1].choices[0].finish_reason == "stop"
    assert all("usage" not in chunk.model_fields_set for chunk in plain)
    asked = list(
        client.chat.completions.create(
            model="m", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in asked[:-1])
    assert asked[-1].choices == []
    assert asked[-1].usage.completion_tokens == 4


def test_calls_a_tool_then_answers(client):
    first = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris"}')
    told: Any = [*HELLO, first.choices[0].message.model_dump(exclude_none=True)]
    told.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
    second = client.chat.completions.create(model="m", messages=told, tools=[WEATHER])
    assert second.choices[0].message.content == "You said: sunny"


def test_streams_tool_arguments_in_pieces(client, upstream):
    upstream.will_answer(tool_calls=[ToolCall("get_weather", '{"city": "New York"}')])
    with client.chat.completions.stream(model="m", messages=HELLO, tools=[WEATHER]) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "New York"}
    assert upstream.last.tokens == 3


def test_several_choices_logprobs_and_schema(client):
    reply = client.chat.completions.create(model="m", messages=HELLO, n=2, logprobs=True)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert [item.token for item in reply.choices[1].logprobs.content] == [
        "You", " said:", " Hello", " there",
    ]  # fmt: skip
    assert reply.usage.completion_tokens == 8
    schema: Any = {"name": "s", "schema": WEATHER["function"]["parameters"]}
    shaped = client.chat.completions.create(
        model="m", messages=HELLO,
        response_format={"type": "json_schema", "json_schema": schema},
    )  # fmt: skip
    assert json.loads(shaped.choices[0].message.content) == {"city": "Paris"}


def test_max_tokens_is_obeyed(client):
    reply = client.chat.completions.create(model="m", messages=HELLO, max_completion_tokens=2)
    assert reply.choices[0].message.content == "You said:"
    assert reply.choices[0].finish_reason == "length"


def test_completions_embeddings_and_models(client):
    text = client.completions.create(model="m", prompt="Hi all")
    assert text.choices[0].text == "You said: Hi all"
    chunks = list(client.completions.create(model="m", prompt="Hi", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "You said: Hi"
    base64 = client.embeddings.create(model="e", input=["a b", "c"])
    floats = client.embeddings.create(model="e", input=["a b", "c"], encoding_format="float")
    assert base64.usage.prompt_tokens == 3
    assert base64.data[1].embedding == pytest.approx(floats.data[1].embedding, abs=1e-6)
    assert [model.id for model in client.models.list()] == [
        "gpt-4o-mini", "gpt-4o", "text-embedding-3-small",
    ]  # fmt: skip
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_stream_options_without_stream_are_refused(client, upstream):
    with pytest.raises(openai.BadRequestError, match="only allowed when 'stream'"):
        client.chat.completions.create(
            model="m", messages=HELLO, stream_options={"include_usage": True}
        )
    assert upstream.last.tokens == 0


def test_scripts_queue_by_model_and_in_order(client, upstream):
    upstream.will_answer("any")
    upstream.will_answer("for b", model="b", usage=Usage(11, 22, cached=3, reasoning=4))
    b = client.chat.completions.create(model="b", messages=HELLO)
    assert b.choices[0].message.content == "for b"
    assert b.usage.prompt_tokens_details.cached_tokens == 3
    assert b.usage.completion_tokens_details.reasoning_tokens == 4
    a = client.chat.completions.create(model="a", messages=HELLO)
    assert a.choices[0].message.content == "any"
    echo = client.chat.completions.create(model="a", messages=HELLO)
    assert echo.choices[0].message.content == "You said: Hello there"


def test_hold_release_and_hang_up(client, upstream):
    upstream.will_stream("Hel", "lo", hold_after=1, times=2)
    with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
        assert next(stream).choices[0].delta.content == ""
        assert next(stream).choices[0].delta.content == "Hel"
        assert (upstream.last.outcome, upstream.last.tokens) == ("open", 1)
        upstream.release()
        assert next(stream).choices[0].delta.content == "lo"
    upstream.reset()
    upstream.will_stream("Hel", "lo", hold_after=1)
    with client.chat.completions.create(model="m", messages=HELLO, stream=True) as stream:
        next(stream)
        next(stream)
    upstream.wait_until(lambda up: up.last.hung_up)
    assert upstream.last.tokens == 1


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("fault:400", openai.BadRequestError),
        ("fault:401", openai.AuthenticationError),
        ("fault:403", openai.PermissionDeniedError),
        ("fault:404", openai.NotFoundError),
        ("fault:429", openai.RateLimitError),
        ("fault:500", openai.InternalServerError),
        ("fault:529", openai.InternalServerError),
    ],
)
def test_failures_raise_the_sdks_classes(client, model, error):
    with pytest.raises(error):
        client.chat.completions.create(model=model, messages=HELLO)


def test_retry_after_is_sent(client):
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="fault:429-retry-after-2", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "2"
