import json

import pytest

from apps.providers.adapters.contract import Call, Endpoint
from apps.providers.adapters.openai.request import build_request
from chatvault.lib.errors import InvalidField, MalformedJson, UpstreamInvalid
from chatvault.lib.redact import Secret
from tests.providers.adapters.shapes import CANARY, call, endpoint


def sent(the_call: Call, **options: object) -> dict:
    return json.loads(build_request(the_call, endpoint("openai", **options)).body)


def test_only_the_model_changes_and_all_other_bytes_stay():
    body = (
        b'{ "model" : "alias", "messages":[ {"role": "user",'
        b'"content":"\\u00e4\\ud83d\\ude00 \xc3\xa4"}],'
        b'"x_unknown":{"b": 1e2,"a":[ ]},"temperature":0.10}'
    )
    request = build_request(Call("chat", "alias", body), endpoint("openai", model='m"ä'))
    assert request.body == (
        b'{"model":"m\\"\xc3\xa4","messages":[ {"role": "user",'
        b'"content":"\\u00e4\\ud83d\\ude00 \xc3\xa4"}],'
        b'"x_unknown":{"b": 1e2,"a":[ ]},"temperature":0.10}'
    )
    assert request.method == "POST"
    assert request.url == "https://provider.test/v1/chat/completions"


def test_a_request_without_changes_goes_out_as_it_came():
    body = b'{"model":"upstream-model","messages":[]}'
    assert build_request(Call("chat", "a", body), endpoint("openai")).body == body


def test_of_a_member_sent_twice_only_the_last_goes_out():
    body = b'{"model":"a","max_tokens":999999,"messages":[],"max_tokens":1}'
    request = build_request(Call("chat", "a", body), endpoint("openai"))
    assert request.body.count(b"max_tokens") == 1
    assert json.loads(request.body)["max_tokens"] == 1


def test_the_secret_is_in_a_header_and_nowhere_else():
    request = build_request(call(), endpoint("openai"))
    assert ("authorization", f"Bearer {CANARY}") in request.headers
    assert CANARY not in request.url
    assert CANARY.encode() not in request.body
    assert CANARY not in repr(endpoint("openai"))


def test_usage_is_asked_for_in_streams_when_the_client_did_not():
    assert sent(call(stream=True))["stream_options"] == {"include_usage": True}
    assert "stream_options" not in sent(call())
    embeddings = call({"model": "a", "input": "x"}, operation="embeddings")
    assert sent(embeddings) == {"model": "upstream-model", "input": "x"}


@pytest.mark.parametrize("own", [None, {}, {"include_usage": False}])
def test_other_stream_options_of_the_client_survive(own):
    wish = own if own is None else {**own, "include_obfuscation": False, "x": [1]}
    told = sent(call({"messages": [], "stream_options": wish}, stream=True))["stream_options"]
    assert told == {**(wish or {}), "include_usage": True}


def test_a_client_that_wants_usage_keeps_its_stream_options_to_the_byte():
    body = b'{"model":"a","messages":[],"stream_options":{ "include_usage" : true }}'
    request = build_request(Call("chat", "a", body, True, True), endpoint("openai"))
    assert b'{ "include_usage" : true }' in request.body


def test_stream_options_that_are_no_object_are_refused_by_name():
    with pytest.raises(InvalidField) as caught:
        sent(call({"messages": [], "stream_options": 7}, stream=True))
    assert caught.value.param == "stream_options"


@pytest.mark.parametrize("stream_usage", ["always", "never"])
def test_vendors_that_do_not_know_stream_options_never_see_them(stream_usage):
    wish = {"messages": [], "stream_options": {"include_usage": True}}
    told = sent(call(wish, stream=True, wants_usage=True), stream_usage=stream_usage)
    assert "stream_options" not in told


@pytest.mark.parametrize(
    ("options", "client", "expected"),
    [
        ({}, {}, {"max_tokens": 7}),
        ({}, {"max_completion_tokens": 90}, {"max_completion_tokens": 7}),
        ({}, {"max_tokens": 90}, {"max_tokens": 7}),
        (
            {},
            {"max_tokens": 90, "max_completion_tokens": 91},
            {"max_tokens": 7, "max_completion_tokens": 7},
        ),
        ({"vendor": "openai"}, {"max_tokens": 90}, {"max_completion_tokens": 7}),
        ({"vendor": "openai"}, {}, {"max_completion_tokens": 7}),
        ({"vendor": "mistral"}, {"max_completion_tokens": 90}, {"max_tokens": 7}),
        (
            {"max_tokens_field": "max_completion_tokens"},
            {"max_tokens": 1, "max_completion_tokens": 2},
            {"max_completion_tokens": 7},
        ),
    ],
)
def test_the_cap_is_written_where_the_vendor_looks_and_nowhere_else(options, client, expected):
    told = sent(call({"messages": [], **client}, max_output_tokens=7), **options)
    limits = {name: told[name] for name in told if name.startswith("max_")}
    assert limits == expected


def test_completions_are_capped_by_max_tokens_whatever_the_vendor_calls_it_in_chat():
    completion = call({"prompt": "x"}, operation="completions", max_output_tokens=3)
    told = sent(completion, vendor="openai")
    assert told == {"prompt": "x", "model": "upstream-model", "max_tokens": 3}


def test_without_a_cap_a_limit_is_renamed_only_for_vendors_that_lack_the_newer_name():
    wish = {"messages": [], "max_completion_tokens": 5}
    assert sent(call(wish), vendor="mistral")["max_tokens"] == 5
    assert sent(call(wish), vendor="openai")["max_completion_tokens"] == 5
    assert sent(call({"messages": [], "max_tokens": 5}), vendor="openai")["max_tokens"] == 5


def test_presets_are_found_by_the_host_of_the_base_url():
    mistral = Endpoint("openai", "https://api.mistral.ai/v1", "m", Secret("k"))
    assert b"stream_options" not in build_request(call(stream=True), mistral).body
    impostor = Endpoint("openai", "https://api.mistral.ai.test/v1", "m", Secret("k"))
    assert b"stream_options" in build_request(call(stream=True), impostor).body


def test_azure_takes_its_own_path_version_and_header():
    azure = Endpoint(
        "openai",
        "https://corp.openai.azure.com",
        "gpt 4o/x",
        Secret("azure-key"),
        {"api_version": "2024-10-21"},
    )
    request = build_request(call(), azure)
    assert request.url == (
        "https://corp.openai.azure.com/openai/deployments/gpt%204o%2Fx"
        "/chat/completions?api-version=2024-10-21"
    )
    assert ("api-key", "azure-key") in request.headers
    assert not [name for name, _ in request.headers if name == "authorization"]


def test_paths_organization_and_no_auth():
    options = {
        "paths": {"chat": "/v2/talk"},
        "organization": "org-1",
        "project": "p-1",
        "auth": "none",
    }
    request = build_request(call(), endpoint("openai", **options))
    assert request.url == "https://provider.test/v1/v2/talk"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "user-agent": "chatvault",
        "openai-organization": "org-1",
        "openai-project": "p-1",
    }


def test_without_a_secret_no_authorization_is_sent():
    local = Endpoint("openai", "http://127.0.0.1:11434/v1", "llama3")
    assert not [name for name, _ in build_request(call(), local).headers if "auth" in name]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"a":1}x', b"\xff"])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(MalformedJson):
        build_request(Call("chat", "a", body), endpoint("openai"))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"stream_usages": "ask"}, "stream_usages"),
        ({"stream_usage": "maybe"}, "stream_usage"),
        ({"paths": {"chat": "http://evil.test/"}}, "paths"),
        ({"vendor": "nobody"}, "vendor"),
    ],
)
def test_options_that_are_none_stop_the_request_and_name_the_field(options, names):
    with pytest.raises(UpstreamInvalid, match=names):
        sent(call(), **options)


@pytest.mark.parametrize("name", ["Model", "MODEL", "Max_Tokens", "max_Completion_tokens", "N"])
def test_a_checked_member_in_other_letters_is_refused(name):
    body = b'{"model":"a","messages":[],"%b":1}' % name.encode()
    with pytest.raises(InvalidField) as refused:
        build_request(Call("chat", "a", body), Endpoint("openai", "https://api.test/v1", "m"))
    assert refused.value.param == name


def test_an_unknown_member_may_have_any_letters():
    body = b'{"model":"a","messages":[],"safePrompt":true}'
    request = build_request(Call("chat", "a", body), Endpoint("openai", "https://api.test/v1", "m"))
    assert b'"safePrompt":true' in request.body
