import json

import pytest

from apps.providers.adapters.contract import Call, Endpoint
from apps.providers.adapters.gemini.options import version_of
from apps.providers.adapters.gemini.request import build_request
from apps.providers.adapters.gemini.schema import clean
from apps.providers.adapters.gemini.signatures import UNSIGNED, sign
from chatvault.lib.errors import InvalidField, MalformedJson, UnsupportedField, UpstreamInvalid
from chatvault.lib.redact import Secret
from tests.providers.adapters.conversations import PICTURE, SCHEMA, TOOLS
from tests.providers.adapters.shapes import CANARY, call

FLASH = "gemini-2.5-flash"
THIRD = "gemini-3-pro-preview"


def built(the_call: Call, model: str = FLASH, base="https://api.test", **options):
    return build_request(the_call, Endpoint("gemini", base, model, Secret(CANARY), options))


def sent(body: dict, model: str = FLASH, options: dict | None = None, **more) -> dict:
    return json.loads(built(call(body, **more), model, **(options or {})).body)


def says(text="Hi", **more) -> dict:
    return {"messages": [{"role": "user", "content": text}], **more}


VERTEX = "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu/publishers/google"


@pytest.mark.parametrize(
    ("base", "model", "stream", "url"),
    [
        ("https://g.test", FLASH, False, "https://g.test/v1beta/models/F:generateContent"),
        ("https://g.test/v1beta", FLASH, False, "https://g.test/v1beta/models/F:generateContent"),
        (
            "https://g.test/v1",
            f"models/{FLASH}",
            False,
            "https://g.test/v1/models/F:generateContent",
        ),
        (VERTEX, FLASH, False, VERTEX + "/models/F:generateContent"),
        (
            "https://g.test",
            FLASH,
            True,
            "https://g.test/v1beta/models/F:streamGenerateContent?alt=sse",
        ),
        (
            "https://g.test",
            "a/b?c",
            False,
            "https://g.test/v1beta/models/a%2Fb%3Fc:generateContent",
        ),
    ],
)
def test_where_it_goes(base, model, stream, url):
    request = built(call(stream=stream), model, base)
    assert request.url == url.replace("/F:", f"/{FLASH}:")


def test_the_key_is_in_a_header_and_never_in_the_url():
    request = built(call())
    assert ("x-goog-api-key", CANARY) in request.headers
    assert CANARY not in request.url
    vertex = built(call(), FLASH, VERTEX, auth="bearer")
    assert ("authorization", f"Bearer {CANARY}") in vertex.headers


def test_system_messages_are_instructions_and_turns_merge():
    told = sent(
        {
            "messages": [
                {"role": "system", "content": "one"},
                {"role": "user", "content": "a"},
                {"role": "developer", "content": "two"},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": "c"},
            ]
        }
    )
    assert told["systemInstruction"] == {"parts": [{"text": "one\n\ntwo"}]}
    assert told["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}]},
    ]


def test_media_are_inline_or_at_an_address_that_google_fetches():
    parts = [
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "image_url", "image_url": {"url": "https://pictures.test/a.jpg?size=1"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA=="}},
    ]
    assert sent(says(parts))["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": PICTURE.partition(",")[2]}},
        {"fileData": {"fileUri": "https://pictures.test/a.jpg?size=1", "mimeType": "image/jpeg"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AA=="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
    ]


def history(first_id: str) -> list[dict]:
    return [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": first_id, "type": "function", "function": {"name": "x", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "y", "arguments": '{"q":1}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c2", "content": '{"ok": true}'},
        {"role": "tool", "tool_call_id": first_id, "content": "fine"},
    ]


def test_results_are_found_by_the_name_of_their_call():
    told = sent({"messages": history("c1")})["contents"]
    assert told[1]["parts"] == [
        {"functionCall": {"name": "x", "args": {}}},
        {"functionCall": {"name": "y", "args": {"q": 1}}},
    ]
    assert told[2]["parts"] == [
        {"functionResponse": {"name": "y", "response": {"ok": True}}},
        {"functionResponse": {"name": "x", "response": {"output": "fine"}}},
    ]


def test_gemini_3_gets_ids_and_the_signature_that_the_id_carries():
    signed = sent({"messages": history(sign("c1", "U2ln"))}, THIRD)["contents"]
    assert signed[1]["parts"] == [
        {"functionCall": {"name": "x", "args": {}, "id": "c1"}, "thoughtSignature": "U2ln"},
        {"functionCall": {"name": "y", "args": {"q": 1}, "id": "c2"}},
    ]
    assert [part["functionResponse"]["id"] for part in signed[2]["parts"]] == ["c2", "c1"]
    foreign = sent({"messages": history("c1")}, THIRD)["contents"]
    assert foreign[1]["parts"][0]["thoughtSignature"] == UNSIGNED
    assert "thoughtSignature" not in foreign[1]["parts"][1]


def test_sampling_goes_into_the_generation_config():
    told = sent(
        says(
            temperature=1.5,
            top_p=0.5,
            top_k=3,
            n=2,
            seed=7,
            stop="END",
            max_tokens=90,
            presence_penalty=0,
            frequency_penalty=0.5,
        ),
        max_output_tokens=80,
    )
    assert told["generationConfig"] == {
        "maxOutputTokens": 80,
        "temperature": 1.5,
        "topP": 0.5,
        "topK": 3,
        "seed": 7,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "frequencyPenalty": 0.5,
    }
    assert "generationConfig" not in sent(says(n=1, presence_penalty=0))


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "noop"}},
            {"mode": "ANY", "allowedFunctionNames": ["noop"]},
        ),
    ],
)
def test_tool_choices(choice, config):
    told = sent(says(tools=TOOLS, tool_choice=choice))
    assert told["toolConfig"] == {"functionCallingConfig": config}
    declared = told["tools"][0]["functionDeclarations"]
    assert declared[0]["parametersJsonSchema"] == TOOLS[0]["function"]["parameters"]


def test_schemas_go_as_they_are_or_cleaned_for_older_models():
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    told = sent(says(response_format=wanted))["generationConfig"]
    assert told == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    older = sent(says(response_format=wanted, tools=TOOLS), "gemini-1.5-flash")
    assert "additionalProperties" not in older["generationConfig"]["responseSchema"]
    assert "parameters" in older["tools"][0]["functionDeclarations"][0]
    any_json = sent(says(response_format={"type": "json_object"}))
    assert any_json["generationConfig"] == {"responseMimeType": "application/json"}


def test_a_schema_is_cleaned_to_the_openapi_subset():
    schema = {
        "type": "object",
        "$schema": "x",
        "$defs": {"item": {"type": "string", "format": "email", "const": "a"}},
        "properties": {
            "title": {"type": ["string", "null"]},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            "one": {"oneOf": [{"type": "integer"}, {"type": "null"}]},
            "level": {"enum": [1, 2]},
        },
        "additionalProperties": False,
    }
    assert clean(schema, "x") == {
        "type": "object",
        "properties": {
            "title": {"type": "string", "nullable": True},
            "items": {"type": "array", "items": {"type": "string", "enum": ["a"]}},
            "one": {"type": "integer", "nullable": True},
            "level": {"type": "string", "enum": ["1", "2"]},
        },
    }


def test_a_schema_that_refers_to_itself_is_refused():
    schema = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}
    schema["$defs"] = {"node": {"type": "object", "properties": schema["properties"]}}
    with pytest.raises(UnsupportedField) as caught:
        clean(schema, "tools[0]")
    assert caught.value.param == "tools[0]"


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        (FLASH, "none", {"thinkingBudget": 0, "includeThoughts": False}),
        (FLASH, "minimal", {"thinkingBudget": 1, "includeThoughts": True}),
        ("gemini-2.5-flash-lite", "minimal", {"thinkingBudget": 512, "includeThoughts": True}),
        ("gemini-2.5-pro", "minimal", {"thinkingBudget": 128, "includeThoughts": True}),
        (FLASH, "high", {"thinkingBudget": 4096, "includeThoughts": True}),
        (THIRD, "none", {"thinkingLevel": "low", "includeThoughts": False}),
        (THIRD, "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
        (THIRD, "max", {"thinkingLevel": "high", "includeThoughts": True}),
        ("gemini-3-flash", "minimal", {"thinkingLevel": "minimal", "includeThoughts": True}),
    ],
)
def test_an_effort_becomes_what_the_model_takes(model, effort, config):
    told = sent(says(reasoning_effort=effort), model)
    assert told["generationConfig"]["thinkingConfig"] == config


def test_anthropics_thinking_is_understood():
    told = sent(says(thinking={"type": "enabled", "budget_tokens": 99}))["generationConfig"]
    assert told["thinkingConfig"] == {"thinkingBudget": 99, "includeThoughts": True}


def test_models_tell_their_version_in_their_name():
    assert version_of("gemini-2.5-flash-lite") == (2, 5)
    assert version_of("models/gemini-3-pro") == (3, 0)
    assert version_of("gemma-3") == (0, 0)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (says(logprobs=True), "logprobs"),
        (says(logit_bias={"1": 2}), "logit_bias"),
        (says(audio={"voice": "x"}), "audio"),
        (says(functions=[{"name": "f"}]), "functions"),
        (says(web_search_options={}), "web_search_options"),
        (says(tools=[{"type": "web_search"}]), "tools[0].type"),
        (says([{"type": "video_url"}]), "messages[0].content[0].type"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(body, param):
    with pytest.raises(UnsupportedField) as caught:
        sent(body)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "king"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "tool", "tool_call_id": "gone", "content": "x"}]},
            "messages[0].tool_call_id",
        ),
        (
            says([{"type": "input_audio", "input_audio": {"data": "x", "format": "flac"}}]),
            "messages[0].content[0].input_audio",
        ),
        (says(reasoning_effort="lots"), "reasoning_effort"),
        (says(tool_choice="maybe", tools=TOOLS), "tool_choice"),
        (says(max_tokens=0), "max_tokens"),
        (says(n=1000), "n"),
    ],
)
def test_what_is_not_valid_is_refused_by_name(body, param):
    with pytest.raises(InvalidField) as caught:
        sent(body)
    assert caught.value.param == param


def embeddings(body: dict) -> Call:
    return call(body, operation="embeddings")


def test_embeddings_are_a_batch():
    request = built(embeddings({"input": ["a", "b"], "dimensions": 8}), "gemini-embedding-2")
    assert request.url.endswith("/models/gemini-embedding-2:batchEmbedContents")
    assert json.loads(request.body)["requests"] == [
        {
            "model": "models/gemini-embedding-2",
            "content": {"parts": [{"text": text}]},
            "outputDimensionality": 8,
        }
        for text in ("a", "b")
    ]


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        ({"input": []}, InvalidField, "input"),
        ({}, InvalidField, "input"),
        ({"input": [[1, 2]]}, UnsupportedField, "input[0]"),
        ({"input": "x", "dimensions": 0}, InvalidField, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, InvalidField, "encoding_format"),
    ],
)
def test_wrong_embeddings_are_refused_by_name(body, error, param):
    with pytest.raises(error) as caught:
        built(embeddings(body))
    assert caught.value.param == param


@pytest.mark.parametrize("operation", ["chat", "embeddings"])
def test_what_is_no_json_is_refused(operation):
    with pytest.raises(MalformedJson):
        built(Call(operation, "a", b"{"))


def test_wrong_options_stop_the_request_and_name_the_field():
    with pytest.raises(UpstreamInvalid, match="schemas"):
        sent(says(), options={"schemas": "yaml"})
