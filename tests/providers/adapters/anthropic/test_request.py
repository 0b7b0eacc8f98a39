import base64
import json

import pytest

from apps.providers.adapters.anthropic.options import version_of
from apps.providers.adapters.anthropic.request import JSON_TOOL, build_request
from apps.providers.adapters.contract import Call, Endpoint
from chatvault.lib.errors import InvalidField, MalformedJson, UnsupportedField, UpstreamInvalid
from chatvault.lib.redact import Secret
from tests.providers.adapters.conversations import PICTURE, SCHEMA, TOOLS
from tests.providers.adapters.shapes import CANARY, call

SONNET = "claude-sonnet-4-5"
OLD = "claude-3-5-haiku-20241022"
ADAPTIVE = "claude-opus-4-6"


def sent(body: dict, model: str = SONNET, options: dict | None = None, **more) -> dict:
    target = Endpoint("anthropic", "https://api.test", model, Secret(CANARY), options or {})
    return json.loads(build_request(call(body, **more), target).body)


def says(text="Hi", **more) -> dict:
    return {"messages": [{"role": "user", "content": text}], **more}


@pytest.mark.parametrize("base", ["https://api.anthropic.com", "https://api.anthropic.com/v1"])
def test_where_it_goes_and_how_it_is_signed(base):
    target = Endpoint("anthropic", base, SONNET, Secret(CANARY), {"anthropic_beta": "b-1"})
    request = build_request(call(), target)
    assert request.url == "https://api.anthropic.com/v1/messages"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "user-agent": "chatvault",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "b-1",
        "x-api-key": CANARY,
    }


def test_system_messages_go_to_the_front_and_turns_merge():
    told = sent(
        {
            "messages": [
                {"role": "system", "content": "one"},
                {"role": "user", "content": "a"},
                {"role": "developer", "content": [{"type": "text", "text": "two"}]},
                {"role": "user", "content": "  "},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": "so far \n"},
            ]
        }
    )
    assert told["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert told["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "so far"}]},
    ]


def test_pictures_and_files():
    text = base64.b64encode("Grüße".encode()).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.test/a.png"}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a"},
        },
        {"type": "file", "file": {"file_data": f"data:text/plain;charset=utf-8;base64,{text}"}},
    ]
    blocks = sent(says(parts))["messages"][0]["content"]
    assert [block["source"] for block in blocks] == [
        {"type": "base64", "media_type": "image/png", "data": PICTURE.partition(",")[2]},
        {"type": "url", "url": "https://pictures.test/a.png"},
        {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        {"type": "text", "media_type": "text/plain", "data": "Grüße"},
    ]
    assert [block["type"] for block in blocks] == ["image", "image", "document", "document"]
    assert blocks[2]["title"] == "a"


def test_results_of_parallel_calls_are_one_turn_and_ids_are_made_safe():
    told = sent(
        {
            "messages": [
                {"role": "user", "content": "go"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "a.1",
                            "type": "function",
                            "function": {"name": "x", "arguments": ""},
                        },
                        {
                            "id": "b__thought__c2ln",
                            "type": "function",
                            "function": {"name": "y", "arguments": '{"q":[1]}'},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "a.1", "content": ""},
                {"role": "tool", "tool_call_id": "b__thought__c2ln", "content": "ok"},
            ],
            "tools": TOOLS,
        }
    )
    assert told["messages"][1]["content"] == [
        {"type": "tool_use", "id": "a_1", "name": "x", "input": {}},
        {"type": "tool_use", "id": "b", "name": "y", "input": {"q": [1]}},
    ]
    assert told["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a_1"},
            {"type": "tool_result", "tool_use_id": "b", "content": "ok"},
        ],
    }


def test_a_history_with_calls_brings_their_tools():
    history = [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "x", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]
    told = sent({"messages": history})
    assert told["tools"] == [{"name": "x", "input_schema": {"type": "object"}}]
    assert told["tool_choice"] == {"type": "none"}


def test_cache_marks_pass_on_messages_parts_tools_and_the_request():
    mark = {"type": "ephemeral", "ttl": "1h"}
    told = sent(
        {
            "messages": [
                {"role": "system", "content": "s", "cache_control": mark},
                {"role": "user", "content": [{"type": "text", "text": "u", "cache_control": mark}]},
            ],
            "tools": [{**TOOLS[0], "cache_control": mark}],
            "cache_control": {"type": "ephemeral"},
        }
    )
    assert told["system"][0]["cache_control"] == mark
    assert told["messages"][0]["content"][0]["cache_control"] == mark
    assert told["tools"][0]["cache_control"] == mark
    assert told["cache_control"] == {"type": "ephemeral"}


def test_sampling_is_brought_into_the_range_that_there_is():
    told = sent(says(temperature=1.7, top_p=0.5, top_k=3, stop=["END", "\n"], user="u-1"))
    assert told["temperature"] == 1.0
    assert (told["top_p"], told["top_k"], told["stop_sequences"]) == (0.5, 3, ["END"])
    assert told["metadata"] == {"user_id": "u-1"}
    assert "metadata" not in sent(says(user="someone@example.com"))


@pytest.mark.parametrize(
    ("model", "options", "cap", "body", "expected"),
    [
        (SONNET, {}, None, {}, 64000),
        (OLD, {}, None, {}, 8192),
        ("claude-3-haiku-20240307", {}, None, {}, 4096),
        ("claude-3-7-sonnet-20250219", {}, None, {}, 32000),
        (SONNET, {"default_max_tokens": 5}, None, {}, 5),
        (SONNET, {}, None, {"max_tokens": 9}, 9),
        (SONNET, {}, None, {"max_tokens": 9, "max_completion_tokens": 8}, 8),
        (SONNET, {}, 7, {"max_tokens": 9}, 7),
    ],
)
def test_there_is_always_a_limit_and_chatvaults_wins(model, options, cap, body, expected):
    assert sent(says(**body), model, options, max_output_tokens=cap)["max_tokens"] == expected


def test_models_tell_their_version_in_their_name():
    assert version_of("claude-sonnet-4-5-20250929") == (4, 5)
    assert version_of("claude-opus-4-20250514") == (4, 0)
    assert version_of("claude-3-7-sonnet-20250219") == (3, 7)
    assert version_of("claude-3-opus-20240229") == (3, 0)
    assert version_of("anthropic.claude-haiku-5-5") == (5, 5)
    assert version_of("something-else") == (0, 0)


def test_a_schema_becomes_the_output_format_of_models_that_have_one():
    bounded = {
        **SCHEMA,
        "properties": {
            "minimum": {"type": "integer", "minimum": 1},
            "list": {"type": "array", "items": {"type": "object"}, "minItems": 2},
        },
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": bounded}}
    assert sent(says(response_format=wanted))["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "minimum": {"type": "integer"},
                "list": {
                    "type": "array",
                    "items": {"type": "object", "additionalProperties": False},
                },
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    }


def test_a_schema_becomes_a_forced_tool_where_there_is_none():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    told = sent(says(response_format=wanted), OLD)
    assert told["tools"][0]["name"] == JSON_TOOL
    assert told["tools"][0]["input_schema"] == SCHEMA
    assert told["tool_choice"] == {"type": "tool", "name": JSON_TOOL}
    both = sent(says(response_format=wanted, tools=TOOLS), OLD)
    assert [tool["name"] for tool in both["tools"]][-1] == JSON_TOOL
    assert both["tool_choice"] == {"type": "any"}


def test_any_json_is_asked_for_in_words():
    told = sent(says(response_format={"type": "json_object"}))
    assert told["system"] == [
        {"type": "text", "text": "Answer with one JSON object and nothing else."}
    ]


def test_an_effort_becomes_a_budget_under_the_limit():
    told = sent(says(reasoning_effort="high", temperature=0.2, max_tokens=9000))
    assert told["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert "temperature" not in told
    small = sent(says(reasoning_effort="high", max_tokens=2000))
    assert small["thinking"]["budget_tokens"] == 1999
    assert "thinking" not in sent(says(reasoning_effort="low", max_tokens=1000))
    assert "thinking" not in sent(says(reasoning_effort="none"))


def test_an_effort_becomes_adaptive_thinking_where_there_is_such():
    told = sent(says(reasoning_effort="minimal"), ADAPTIVE)
    assert told["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert told["output_config"] == {"effort": "low"}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    both = sent(says(reasoning_effort="max", response_format=wanted), ADAPTIVE)
    assert both["output_config"]["effort"] == "max"
    assert both["output_config"]["format"]["type"] == "json_schema"


def test_no_thinking_where_the_api_refuses_it():
    forced = sent(says(reasoning_effort="low", tools=TOOLS, tool_choice="required"))
    assert "thinking" not in forced
    made = {"id": "1", "type": "function", "function": {"name": "noop", "arguments": "{}"}}
    asked = {"role": "user", "content": "go"}
    result = {"role": "tool", "tool_call_id": "1", "content": "ok"}
    unsigned = [asked, {"role": "assistant", "tool_calls": [made]}, result]
    body = {"messages": unsigned, "tools": TOOLS, "reasoning_effort": "low"}
    assert "thinking" not in sent(body)
    block = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    signed = {"role": "assistant", "thinking_blocks": [block], "tool_calls": [made]}
    told = sent({**body, "messages": [asked, signed, result]})
    assert told["thinking"]["type"] == "enabled"
    assert told["messages"][1]["content"][0] == block
    again = sent({**body, "messages": [*unsigned, {"role": "user", "content": "more"}]})
    assert "thinking" not in again


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (says(n=2), "n"),
        (says(logprobs=True), "logprobs"),
        (says(presence_penalty=0.5), "presence_penalty"),
        (says(logit_bias={"1": 2}), "logit_bias"),
        (says(audio={"voice": "x"}), "audio"),
        (says(modalities=["text", "audio"]), "modalities"),
        (says(functions=[{"name": "f"}]), "functions"),
        (says(web_search_options={}), "web_search_options"),
        (says(tools=[{"type": "web_search"}]), "tools[0].type"),
        (says([{"type": "input_audio", "input_audio": {}}]), "messages[0].content[0].type"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(body, param):
    with pytest.raises(UnsupportedField) as caught:
        sent(body)
    assert caught.value.param == param


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "[1]"}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        (says([{"type": "text"}]), "messages[0].content[0].text"),
        (says([{"text": "x"}]), "messages[0].content[0]"),
        (
            says([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]),
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [CALL]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        (says(max_tokens=-1), "max_tokens"),
        (says(max_tokens=2**63), "max_tokens"),
        (says(temperature=3), "temperature"),
        (says(temperature="hot"), "temperature"),
        (says(tool_choice="maybe", tools=TOOLS), "tool_choice"),
        (says(tools=[{"type": "function", "function": {"name": "a b"}}]), "tools[0].function.name"),
        (says(reasoning_effort="lots"), "reasoning_effort"),
        (says(response_format={"type": "xml"}), "response_format.type"),
        (
            says(response_format={"type": "json_schema", "json_schema": {}}),
            "response_format.json_schema.schema",
        ),
    ],
)
def test_what_is_not_valid_is_refused_by_name(body, param):
    with pytest.raises(InvalidField) as caught:
        sent(body)
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b'{"messages":['])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(MalformedJson):
        build_request(Call("chat", "a", body), Endpoint("anthropic", "https://api.test", SONNET))


@pytest.mark.parametrize(
    "options", [{"thinking": "deep"}, {"default_max_tokens": 0}, {"unknown": 1}]
)
def test_wrong_options_stop_the_request_and_name_the_field(options):
    with pytest.raises(UpstreamInvalid, match=next(iter(options))):
        sent(says(), options=options)
