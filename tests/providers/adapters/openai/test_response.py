import json

import pytest

from apps.providers.adapters.contract import Usage
from apps.providers.adapters.openai.response import read_answer
from apps.providers.adapters.openai.usage import read_usage
from chatvault.lib.errors import UpstreamInvalid, UpstreamRefused
from tests.providers.adapters.shapes import call, exchanges, is_stream

CHOICES = '"choices":[{"index":0,"message":{"role":"assistant","content":"Grüße"}}]'


def read(body: str):
    return read_answer(call(), body.encode())


def test_the_answer_is_the_providers_own_bytes():
    body = (
        b'{ "id":"x", ' + CHOICES.encode() + b', "usage":{"prompt_tokens":3,"completion_tokens":2}}'
    )
    answer = read_answer(call(), body)
    assert answer.body is body
    assert answer.usage == Usage(input_tokens=3, output_tokens=2)


def test_all_parts_of_usage_are_read():
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 5, "cache_write_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4},
    }
    assert read_usage(json.dumps(usage).encode()) == Usage(
        input_tokens=100,
        output_tokens=50,
        cached_input_tokens=60,
        cache_write_tokens=7,
        reasoning_tokens=30,
        audio_input_tokens=5,
        audio_output_tokens=4,
    )


def test_parts_never_pass_the_whole():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 11},
    }
    told = read_usage(json.dumps(usage).encode())
    assert told is not None
    assert (told.cached_input_tokens, told.cache_write_tokens, told.reasoning_tokens) == (10, 0, 5)


def test_reasoning_that_a_vendor_leaves_out_of_the_output_is_output():
    xai = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 35,
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    told = read_usage(json.dumps(xai).encode())
    assert told == Usage(input_tokens=10, output_tokens=25, reasoning_tokens=20)
    unexplained = {**xai, "completion_tokens_details": {"reasoning_tokens": 3}}
    assert read_usage(json.dumps(unexplained).encode()).output_tokens == 5


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        "[]",
        "7",
        '"many"',
        '{"prompt_tokens":-1,"completion_tokens":1}',
        '{"prompt_tokens":1,"completion_tokens":-1}',
        '{"prompt_tokens":1.5,"completion_tokens":1}',
        '{"prompt_tokens":"1","completion_tokens":1}',
        '{"prompt_tokens":true,"completion_tokens":1}',
        '{"prompt_tokens":9007199254740993,"completion_tokens":1}',
        '{"prompt_tokens":1,"completion_tokens":9223372036854775808}',
        '{"prompt_tokens":1e308,"completion_tokens":1}',
        '{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":-1}}',
    ],
)
def test_usage_that_is_not_valid_is_none_and_the_text_is_weighed(usage):
    answer = read(f'{{{CHOICES},"usage":{usage}}}')
    assert answer.usage is None
    assert answer.output_text_bytes == len("Grüße".encode())


def test_tool_arguments_are_text_too():
    body = (
        '{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1",'
        '"type":"function","function":{"name":"add","arguments":"{\\"a\\":1}"}}]}}]}'
    )
    assert read(body).output_text_bytes == len('add{"a":1}')


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "<html>",
        '{"choices":null}',
        '{"choices":{}}',
        '{"choices":[',
        "null",
        "\x00",
    ],
)
def test_a_200_that_is_no_answer_is_invalid(body):
    with pytest.raises(UpstreamInvalid):
        read(body)


def test_an_error_with_status_200_is_a_refusal():
    with pytest.raises(UpstreamRefused) as caught:
        read('{"error":{"code":429,"message":"slow down"},"user_id":"user_1"}')
    assert caught.value.http_status == 429
    assert caught.value.retryable


def test_embeddings_need_data():
    body = b'{"object":"list","data":[],"usage":{"prompt_tokens":4,"total_tokens":4}}'
    embeddings = call({"input": "x"}, operation="embeddings")
    assert read_answer(embeddings, body).usage == Usage(input_tokens=4)
    with pytest.raises(UpstreamInvalid):
        read_answer(embeddings, b'{"choices":[]}')


def test_every_recorded_answer_is_read_and_its_usage_is_the_recorded_one():
    seen = 0
    for exchange in exchanges():
        path = exchange["path"].partition("#")[0]
        if exchange["status"] != 200 or is_stream(exchange):
            continue
        if not path.endswith(("/chat/completions", "/v1/embeddings")):
            continue
        operation = "embeddings" if path.endswith("embeddings") else "chat"
        body = exchange["body"].encode()
        answer = read_answer(call(exchange["request"], operation=operation), body)
        told = json.loads(body)["usage"]
        assert answer.body is body
        assert answer.usage.input_tokens == told["prompt_tokens"]
        if exchange["provider"] == "gemini":  # it leaves thoughts out of completion_tokens
            assert answer.usage.output_tokens == told["total_tokens"] - told["prompt_tokens"]
        else:
            assert answer.usage.output_tokens == told.get("completion_tokens", 0)
        seen += 1
    assert seen > 100
