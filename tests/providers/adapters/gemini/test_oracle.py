"""Ours against litellm's. The differences are decisions; each is named where it is removed."""

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from apps.providers.adapters.contract import Endpoint
from apps.providers.adapters.gemini.request import build_request
from apps.providers.adapters.gemini.response import read_answer
from apps.providers.adapters.gemini.stream import open_stream
from tests.providers.adapters import comparison, conversations, oracle
from tests.providers.adapters.shapes import call, endpoint, exchanges, is_stream
from tests.providers.adapters.slicing import bytewise, run


def camel(value: Any) -> Any:
    """litellm writes some members in snake case; the API takes both."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), k): camel(v) for k, v in value.items()}


def comparable(body: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    body = camel(json.loads(json.dumps(body)))
    turns: list[dict[str, Any]] = []
    for turn in body["contents"]:  # litellm leaves two turns of the user after a tool's result
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["parts"] += turn["parts"]
        else:
            turns.append(turn)
    body["contents"] = turns
    for turn in turns:  # litellm adds a blank to pictures without words
        turn["parts"] = [part for part in turn["parts"] if part != {"text": " "}]
    for part in (part for turn in turns for part in turn["parts"]):
        response = part.get("functionResponse", {}).get("response", {})
        if "content" in response:  # we name text `output`, the word that Google documents
            response["output"] = response.pop("content")
    config = body.get("generationConfig", {})
    if "temperature" not in asked:  # litellm writes Gemini 3's default out
        config.pop("temperature", None)
    if not config:
        body.pop("generationConfig", None)
    return body


def check_request(body: dict[str, Any], model: str) -> None:
    options = {"schemas": "openapi"}  # litellm does not use parametersJsonSchema
    if "response_format" in body:
        options = {}
    target = Endpoint("gemini", "https://api.test", model, None, options)
    ours = build_request(call(body), target).body
    theirs = oracle.gemini_request(body, model)
    assert comparable(json.loads(ours), body) == comparable(theirs, body)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations.requests())
def test_requests_equal_litellms(body):
    check_request(body, "gemini-2.5-flash")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations.requests())
def test_requests_to_gemini_3_equal_litellms(body):
    check_request(body, "gemini-3-flash-preview")


def test_every_recorded_answer_equals_litellms():
    seen = 0
    for exchange in exchanges():
        if exchange["provider"] != "gemini" or not exchange["path"].endswith(":generateContent"):
            continue
        body = exchange["body"].encode()
        answer = read_answer(call(), body)
        ours = json.loads(answer.body)
        theirs = oracle.gemini_answer(body)
        ChatCompletion.model_validate(ours)
        assert comparison.of_answer(ours) == comparison.of_answer(theirs), exchange["id"]
        assert comparison.of_usage(ours["usage"]) == comparison.of_usage(theirs["usage"])
        assert ours["usage"]["completion_tokens"] == answer.usage.output_tokens
        seen += 1
    assert seen >= 77


def test_every_recorded_stream_equals_litellms():
    seen = 0
    for exchange in exchanges():
        if exchange["provider"] != "gemini" or not is_stream(exchange):
            continue
        body = exchange["body"].encode()
        the_call = call(stream=True, wants_usage=True)
        result = run(open_stream(the_call, endpoint("gemini")), [body])
        assert run(open_stream(the_call, endpoint("gemini")), bytewise(body)) == result
        chunks = [json.loads(block[6:]) for block in result[0].split(b"\n\n")[:-2]]
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk)
        lines = exchange["body"].splitlines()
        events = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
        theirs = oracle.gemini_chunks(events)
        assert comparison.of_chunks(chunks) == comparison.of_chunks(theirs), exchange["id"]
        told = [chunk["usage"] for chunk in theirs if chunk.get("usage")][-1]
        assert comparison.of_usage(chunks[-1]["usage"]) == comparison.of_usage(told)
        seen += 1
    assert seen == 9
