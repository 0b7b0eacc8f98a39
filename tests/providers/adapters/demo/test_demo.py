import base64
import json
import struct

import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from apps.providers.adapters.contract import Endpoint
from apps.providers.adapters.demo.perform import delay_of
from apps.providers.adapters.demo.schema import example_of
from apps.providers.adapters.registry import get_adapter
from tests.providers.adapters.shapes import call

DEMO = get_adapter("demo")
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
            "required": ["city", "days"],
        },
    },
}


async def ask(body, operation="chat", model="demo", **more):
    the_call = call(body, operation=operation, **more)
    async with DEMO.perform(the_call, Endpoint("demo", "demo:", model), None) as upstream:
        if upstream.status != 200:
            return DEMO.read_error(upstream.status, upstream.headers, await upstream.read())
        return DEMO.read_answer(the_call, await upstream.read())


async def stream(body, operation="chat", **more):
    the_call = call(body, operation=operation, stream=True, **more)
    endpoint = Endpoint("demo", "demo:", "demo")
    reader = DEMO.open_stream(the_call, endpoint)
    out = b""
    async with DEMO.perform(the_call, endpoint, None) as upstream:
        while chunk := await upstream.next_chunk():
            out += reader.feed(chunk)
    return out + reader.finish(), reader


def says(text, **more):
    return {"messages": [{"role": "user", "content": text}], **more}


def chunks_of(out: bytes) -> list[ChatCompletionChunk]:
    *events, done, rest = out.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    return [ChatCompletionChunk.model_validate_json(event[6:]) for event in events]


async def test_it_answers_about_the_last_thing_that_the_user_said():
    answer = await ask(says("Where is the vault?"))
    told = ChatCompletion.model_validate_json(answer.body)
    assert "Where is the vault?" in told.choices[0].message.content
    assert told.choices[0].finish_reason == "stop"
    assert answer.usage.input_tokens == told.usage.prompt_tokens == 3 + 5
    assert answer.usage.output_tokens == told.usage.completion_tokens > 20


async def test_the_same_request_gets_the_same_answer():
    one, two = await ask(says("x")), await ask(says("x"))
    first, second = json.loads(one.body), json.loads(two.body)
    assert {**first, "created": 0} == {**second, "created": 0}
    assert json.loads((await ask(says("y"))).body)["id"] != first["id"]


async def test_a_stream_says_the_same_as_the_whole_answer_and_costs_the_same():
    answer = await ask(says("tell me", n=2))
    out, reader = await stream(says("tell me", n=2))
    texts = {0: "", 1: ""}
    finishes = {}
    for chunk in chunks_of(out):
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content or ""
        if choice.finish_reason:
            finishes[choice.index] = choice.finish_reason
    told = ChatCompletion.model_validate_json(answer.body)
    assert [texts[0], texts[1]] == [choice.message.content for choice in told.choices]
    assert finishes == {0: "stop", 1: "stop"}
    assert reader.usage == answer.usage
    assert b"usage" not in out


async def test_a_client_that_asks_gets_the_usage_chunk_before_the_end():
    out, reader = await stream(says("hi"), wants_usage=True)
    last = chunks_of(out)[-1]
    assert last.choices == []
    assert last.usage.completion_tokens == reader.usage.output_tokens


@pytest.mark.parametrize(
    ("body", "cap", "expected"),
    [({"max_tokens": 3}, None, 3), ({"max_completion_tokens": 2}, None, 2), ({}, 4, 4)],
)
async def test_limits_are_kept_to_the_token(body, cap, expected):
    answer = await ask(says("hello", **body), max_output_tokens=cap)
    told = ChatCompletion.model_validate_json(answer.body)
    assert answer.usage.output_tokens == expected
    assert told.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
async def test_a_forced_tool_is_called_with_arguments_that_fit(choice):
    body = says("rain?", tools=[TOOL], tool_choice=choice)
    answer = await ask(body)
    told = ChatCompletion.model_validate_json(answer.body)
    made = told.choices[0].message.tool_calls[0]
    assert told.choices[0].finish_reason == "tool_calls"
    assert made.function.name == "weather"
    assert json.loads(made.function.arguments) == {"city": "demo", "days": 2}
    out, _ = await stream(body)
    deltas = [
        c.choices[0].delta.tool_calls[0] for c in chunks_of(out) if c.choices[0].delta.tool_calls
    ]
    assert "".join(d.function.arguments for d in deltas) == made.function.arguments
    assert {d.id for d in deltas if d.id} == {made.id}


async def test_a_schema_is_honoured():
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 8},
            "kind": {"enum": ["b", "a"]},
            "list": {"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": 2},
            "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        },
        "$defs": {"n": {"type": "number", "exclusiveMinimum": 4}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = await ask(says("x", response_format=wanted))
    content = json.loads(answer.body)["choices"][0]["message"]["content"]
    assert json.loads(content) == {"name": "demo....", "kind": "b", "list": [5, 5], "maybe": None}


def test_a_schema_that_refers_to_itself_ends():
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert "next" in example_of(schema)


async def test_completions():
    answer = await ask({"prompt": "once"}, operation="completions")
    told = Completion.model_validate_json(answer.body)
    assert "once" in told.choices[0].text
    out, reader = await stream({"prompt": "once"}, operation="completions")
    events = [json.loads(e[6:]) for e in out.split(b"\n\n")[:-2]]
    assert "".join(e["choices"][0]["text"] for e in events) == told.choices[0].text
    assert reader.usage == answer.usage


async def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone():
    answer = await ask({"input": ["a", "b", "a"], "dimensions": 8}, operation="embeddings")
    told = CreateEmbeddingResponse.model_validate_json(answer.body)
    one, two, three = (item.embedding for item in told.data)
    assert one == three != two
    assert sum(x * x for x in one) == pytest.approx(1.0)
    assert answer.usage.input_tokens == 3
    packed = await ask(
        {"input": "a", "dimensions": 8, "encoding_format": "base64"}, operation="embeddings"
    )
    raw = base64.b64decode(json.loads(packed.body)["data"][0]["embedding"])
    assert list(struct.unpack("<8f", raw)) == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "operation", "param"),
    [
        ({"messages": []}, "chat", "messages"),
        ({"messages": "hi"}, "chat", "messages"),
        ({"messages": [{"role": "user"}], "n": 0}, "chat", "n"),
        ({"messages": [{"role": "user"}], "max_tokens": -1}, "chat", "max_tokens"),
        ({"messages": [{"role": "user"}], "max_tokens": 2**63}, "chat", "max_tokens"),
        ({"input": []}, "embeddings", "input"),
        ({"input": "x", "dimensions": 10**9}, "embeddings", "dimensions"),
        ({"input": [{"a": 1}]}, "embeddings", "input[0]"),
    ],
)
async def test_bad_input_is_refused_as_a_provider_would(body, operation, param):
    error = await ask(body, operation=operation)
    assert (error.http_status, error.param) == (400, param)


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def user(content):
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        (user(7), "messages[0].content"),
        (user(None), "messages[0].content"),
        (user(["x"]), "messages[0].content[0]"),
        (user([{"type": "text", "text": 7}]), "messages[0].content[0].text"),
        (user([{"type": "dance"}]), "messages[0].content[0].type"),
        (user([image("ftp://x/y.png")]), "messages[0].content[0].image_url.url"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (says("x", temperature="hot"), "temperature"),
        (says("x", temperature=2.5), "temperature"),
        (says("x", top_p=-1), "top_p"),
        (says("x", top_p=[]), "top_p"),
        (says("x", n="2"), "n"),
        (says("x", n=129), "n"),
        (says("x", max_tokens="many"), "max_tokens"),
        (says("x", max_completion_tokens=0), "max_completion_tokens"),
        (says("x", stop=7), "stop"),
        (says("x", stop=["a", "b", "c", "d", "e"]), "stop"),
        (says("x", tools="weather"), "tools"),
        (says("x", tools=[{"type": "function"}]), "tools[0].function"),
        (says("x", tools=[TOOL, {"function": {"name": ""}}]), "tools[1].function.name"),
        (says("x", tools=[TOOL], tool_choice="sometimes"), "tool_choice"),
        (says("x", tools=[TOOL], tool_choice=7), "tool_choice"),
        (says("x", tool_choice="required"), "tool_choice"),
        (says("x", response_format={"type": "xml"}), "response_format.type"),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_wrong_types_and_values_are_refused_with_their_path(body, param, is_stream):
    the_call = call(body, stream=is_stream)
    async with DEMO.perform(the_call, Endpoint("demo", "demo:", "demo"), None) as upstream:
        error = json.loads(await upstream.read())["error"]
    assert (upstream.status, error["param"]) == (400, param)
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_value")


@pytest.mark.parametrize("prompt", [["a", 1], [{"a": 1}]])
async def test_a_prompt_is_text_or_tokens(prompt):
    error = await ask({"prompt": prompt}, operation="completions")
    assert error.http_status == 400
    assert error.param.startswith("prompt[")


@pytest.mark.parametrize("choice", ["none", "auto", None])
async def test_a_tool_that_is_not_forced_is_not_called(choice):
    answer = await ask(says("rain?", tools=[TOOL], tool_choice=choice))
    told = ChatCompletion.model_validate_json(answer.body)
    assert told.choices[0].message.tool_calls is None
    assert told.choices[0].finish_reason == "stop"


async def test_every_choice_calls_the_forced_tool():
    answer = await ask(says("rain?", n=3, tools=[TOOL], tool_choice="required"))
    told = ChatCompletion.model_validate_json(answer.body)
    assert [choice.index for choice in told.choices] == [0, 1, 2]
    made = [choice.message.tool_calls[0] for choice in told.choices]
    assert {call.function.arguments for call in made} == {'{"city":"demo","days":2}'}
    assert len({call.id for call in made}) == 3


async def test_a_conversation_with_tools_and_pictures_is_taken():
    asked = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    question = [
        {"type": "text", "text": "What is it?"},
        image("data:image/png;base64,iVBORw0KGgo="),
    ]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "rain?"},
        {"role": "assistant", "content": None, "tool_calls": [asked]},
        {"role": "tool", "tool_call_id": "call_1", "content": "none"},
        {"role": "user", "content": question},
    ]
    answer = await ask({"messages": messages, "temperature": 0.5, "tools": [TOOL]})
    told = ChatCompletion.model_validate_json(answer.body)
    assert "“What is it?\n[image_url]”" in told.choices[0].message.content


@pytest.mark.parametrize("stop", [" You said", ["never", " You said"]])
async def test_the_answer_ends_before_a_stop_sequence(stop):
    answer = await ask(says("x", stop=stop))
    told = ChatCompletion.model_validate_json(answer.body)
    assert told.choices[0].message.content == "This is the demo model of ChatVault."
    assert told.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(("text", "count"), [("hi", "(1 token)"), ("hi you", "(2 tokens)")])
async def test_tokens_are_counted_in_plain_english(text, count):
    told = ChatCompletion.model_validate_json((await ask(says(text))).body)
    assert count in told.choices[0].message.content


async def test_an_unknown_forced_tool_is_refused():
    choice = {"type": "function", "function": {"name": "nobody"}}
    error = await ask(says("x", tools=[TOOL], tool_choice=choice))
    assert (error.http_status, error.param) == (400, "tool_choice")


def test_the_models_name_says_how_slow_it_is():
    assert delay_of("demo") == 0.0
    assert delay_of("demo-20ms") == 0.02
    assert delay_of("demo-20msx") == 0.0
