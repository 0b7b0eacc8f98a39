"""Ours against litellm's. The differences are decisions; each is named where it is removed."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from apps.providers.adapters.anthropic.request import JSON_TOOL, build_request
from apps.providers.adapters.anthropic.response import read_answer
from apps.providers.adapters.anthropic.stream import open_stream
from apps.providers.adapters.contract import Endpoint
from tests.providers.adapters import comparison, conversations, oracle
from tests.providers.adapters.shapes import call, endpoint, exchanges, is_stream
from tests.providers.adapters.slicing import bytewise, run

# The provider's own tools (web search, code execution, …) have been run already: OpenAI's format
# has no place for them, and a client that saw them as its own calls would try to answer them.
SERVER_TOOLS = ("server_tool_use", "mcp_tool_use")
# The advisor is another model; litellm adds its tokens to those of the model that was asked.
ADVISOR = "advisor_message"


def comparable(body: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    body = json.loads(json.dumps(body))
    body.pop("json_mode", None)  # a note of litellm's to itself
    if "max_tokens" not in asked:
        body.pop("max_tokens")  # the default where none was asked for is each one's own
    for tool in body.get("tools", []):
        tool.pop("type", None)  # "custom" is what a tool without a type is
        tool.pop("description", None) if tool["name"] in (JSON_TOOL, "json_tool_call") else None
        tool["name"] = "json" if tool["name"] in (JSON_TOOL, "json_tool_call") else tool["name"]
    choice = body.get("tool_choice", {})
    if choice.get("name") in (JSON_TOOL, "json_tool_call"):
        choice["name"] = "json"
    if "output_format" in body:  # the member's name before the API was final
        body["output_config"] = {"format": body.pop("output_format")}
    return body


def check_request(body: dict[str, Any], model: str) -> None:
    ours = build_request(call(body), Endpoint("anthropic", "https://api.test", model)).body
    theirs = oracle.anthropic_request(body, model)
    assert comparable(json.loads(ours), body) == comparable(theirs, body)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations.requests())
def test_requests_to_models_with_structured_outputs_equal_litellms(body):
    check_request(body, "claude-sonnet-4-5")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations.requests())
def test_requests_to_older_models_equal_litellms(body):
    check_request(body, "claude-3-5-sonnet-20241022")


def test_every_recorded_answer_equals_litellms():
    seen = 0
    for exchange in exchanges():
        if exchange["path"] != "/v1/messages" or exchange["provider"] != "anthropic":
            continue
        if exchange["status"] != 200 or is_stream(exchange):
            continue
        body = exchange["body"].encode()
        answer = read_answer(call(), body)
        ours = json.loads(answer.body)
        theirs = oracle.anthropic_answer(body)
        ChatCompletion.model_validate(ours)
        one, two = comparison.of_answer(ours), comparison.of_answer(theirs)
        if any(f'"type": "{kind}"' in exchange["body"] for kind in SERVER_TOOLS):
            one[0].pop("calls")
            two[0].pop("calls")
        assert one == two, exchange["id"]
        assert comparison.of_usage(ours["usage"]) == comparison.of_usage(theirs["usage"])
        told = json.loads(body)["usage"]
        caches = told["cache_read_input_tokens"] + told["cache_creation_input_tokens"]
        assert answer.usage.input_tokens == told["input_tokens"] + caches
        assert answer.usage.output_tokens == told["output_tokens"]
        seen += 1
    assert seen >= 79


def test_every_recorded_stream_equals_litellms():
    seen = 0
    for exchange in exchanges():
        if exchange["provider"] != "anthropic" or not is_stream(exchange):
            continue
        body = exchange["body"].encode()
        the_call = call(stream=True, wants_usage=True)
        result = run(open_stream(the_call, endpoint("anthropic")), [body])
        assert run(open_stream(the_call, endpoint("anthropic")), bytewise(body)) == result
        chunks = [json.loads(block[6:]) for block in result[0].split(b"\n\n")[:-2]]
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk)
        lines = exchange["body"].splitlines()
        events = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
        theirs = oracle.anthropic_chunks(events)
        one, two = comparison.of_chunks(chunks), comparison.of_chunks(theirs)
        if any(f'"type":"{kind}"' in exchange["body"] for kind in SERVER_TOOLS):
            one.pop("calls")
            two.pop("calls")
        assert one == two, exchange["id"]
        if ADVISOR not in exchange["body"]:
            told = [chunk["usage"] for chunk in theirs if chunk.get("usage")][-1]
            assert comparison.of_usage(chunks[-1]["usage"]) == comparison.of_usage(told)
        seen += 1
    assert seen == 4
