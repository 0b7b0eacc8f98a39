import json
import subprocess
import sys

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from apps.providers.adapters.contract import Endpoint, Usage
from apps.providers.adapters.litellm import library
from apps.providers.adapters.litellm.options import read_options
from apps.providers.adapters.litellm.request import arguments
from apps.providers.adapters.registry import find_option_error, get_adapter
from apps.providers.upstream import UpstreamPool
from chatvault.lib.errors import InvalidField, MalformedJson, UpstreamError, UpstreamInvalid
from chatvault.lib.http_guard import AddressGuard
from chatvault.lib.redact import Secret
from tests.providers.adapters.shapes import CANARY, call
from tests.providers.upstream.server import Exchange, Server

LITELLM = get_adapter("litellm")
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@pytest.fixture
async def server():
    server = Server()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def pool():
    pool = UpstreamPool(AddressGuard(("127.0.0.1",)))
    yield pool
    await pool.close()


def groq(server: Server, **options) -> Endpoint:
    told = {"litellm_provider": "groq", **options}
    return Endpoint("litellm", f"http://127.0.0.1:{server.port}/v1", "llama", Secret(CANARY), told)


def answers(body: dict, status: str = "200 OK", kind: str = "application/json"):
    async def script(exchange: Exchange) -> None:
        await exchange.answer(json.dumps(body).encode(), status, f"content-type: {kind}")

    return script


def completion(text: str) -> dict:
    message = {"role": "assistant", "content": text}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "llama",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "service_tier": "on_demand",
        "usage": USAGE,
    }


async def ask(the_call, endpoint, pool):
    async with LITELLM.perform(the_call, endpoint, pool) as upstream:
        body = await upstream.read()
        if upstream.status != 200:
            return LITELLM.read_error(upstream.status, upstream.headers, body)
        return LITELLM.read_answer(the_call, body)


async def test_a_call_goes_through_our_upstream_client_and_comes_back_in_openais_format(
    server, pool
):
    server.script = answers(completion("Hello"))
    answer = await ask(call(max_output_tokens=9), groq(server), pool)
    told = ChatCompletion.model_validate_json(answer.body)
    assert told.choices[0].message.content == "Hello"
    assert answer.usage == Usage(input_tokens=5, output_tokens=2)
    (seen,) = server.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {CANARY}"
    sent = json.loads(seen.body)
    assert (sent["model"], sent["max_tokens"]) == ("llama", 9)
    assert pool.stats().open == 1


async def test_a_stream_is_passed_on_with_its_usage(server, pool):
    async def script(exchange: Exchange) -> None:
        chunks = [
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}]},
            {"choices": [{"index": 0, "delta": {"content": "lo"}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": USAGE},
        ]
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "llama"}
        events = b"".join(
            b"data: " + json.dumps({**head, **chunk}).encode() + b"\n\n" for chunk in chunks
        )
        await exchange.answer(
            events + b"data: [DONE]\n\n", "200 OK", "content-type: text/event-stream"
        )

    server.script = script
    the_call = call(stream=True, wants_usage=True)
    reader = LITELLM.open_stream(the_call, groq(server))
    out = b""
    async with LITELLM.perform(the_call, groq(server), pool) as upstream:
        assert upstream.headers["content-type"] == "text/event-stream"
        while chunk := await upstream.next_chunk():
            out += reader.feed(chunk)
    out += reader.finish()
    *events, done, rest = out.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [ChatCompletionChunk.model_validate_json(event[6:]) for event in events]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Hello"
    assert reader.usage == Usage(input_tokens=5, output_tokens=2)
    assert chunks[-1].usage.completion_tokens == 2


async def test_embeddings(server, pool):
    server.script = answers(
        {
            "object": "list",
            "model": "llama",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }
    )
    endpoint = groq(server, litellm_provider="hosted_vllm")
    answer = await ask(call({"input": ["hi"]}, operation="embeddings"), endpoint, pool)
    told = CreateEmbeddingResponse.model_validate_json(answer.body)
    assert told.data[0].embedding == [0.5, 0.25]
    assert answer.usage == Usage(input_tokens=3)


@pytest.mark.parametrize(
    ("status", "public"), [(400, 400), (401, 502), (404, 404), (429, 429), (500, 502), (503, 503)]
)
async def test_refusals_keep_their_meaning_and_never_the_secret(server, pool, status, public):
    error = {"error": {"message": f"bad {CANARY} thing", "type": "invalid_request_error"}}
    server.script = answers(error, f"{status} No")
    refused = await ask(call(), groq(server), pool)
    assert refused.http_status == public
    assert CANARY not in json.dumps(refused.openai())
    assert len(server.seen) == 1  # no retries of litellm's own


async def test_what_our_client_refuses_stays_what_it_is(server):
    strict = UpstreamPool(AddressGuard(()))
    with pytest.raises(UpstreamError) as caught:
        await ask(call(), groq(server), strict)
    assert caught.value.code == "upstream_forbidden"
    assert server.seen == []
    await strict.close()


async def test_redirects_are_not_followed(server, pool):
    async def script(exchange: Exchange) -> None:
        await exchange.answer(b"", "307 Go", f"location: {server.url('/elsewhere')}")

    server.script = script
    with pytest.raises(UpstreamError):
        await ask(call(), groq(server), pool)
    assert [seen.path for seen in server.seen] == ["/v1/chat/completions"]


async def test_a_stream_that_breaks_raises_what_broke(server, pool):
    async def script(exchange: Exchange) -> None:
        await exchange.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        event = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
        event += b'"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}\n\n'
        await exchange.write(b"%x\r\n%b\r\n" % (len(event), event))
        exchange.reset()

    server.script = script
    the_call = call(stream=True)
    with pytest.raises(UpstreamError) as caught:
        async with LITELLM.perform(the_call, groq(server), pool) as upstream:
            while await upstream.next_chunk():
                pass
    assert caught.value.code == "upstream_broken"


async def test_blocking_clients_of_the_library_cannot_speak(server, pool):
    litellm = await library.load()
    with pytest.raises(Exception, match="not allowed"):
        litellm.module_level_client.get(server.url("/"))
    assert server.seen == []


async def test_bad_input_is_refused_without_a_call(server, pool):
    refused = await ask(call({"messages": []}), groq(server), pool)
    assert refused.http_status == 400
    assert server.seen == []


def test_only_known_members_reach_the_library():
    body = {
        "messages": [{"role": "user", "content": "x"}],
        "temperature": 0.5,
        "api_base": "http://evil.test",
        "api_key": "mine",
        "base_url": "http://evil.test",
        "mock_response": "free",
        "custom_llm_provider": "openai",
        "client": "x",
        "extra_headers": {"a": "b"},
        "fallbacks": ["gpt-4"],
        "metadata": {"user_api_key": "x"},
    }
    endpoint = Endpoint("litellm", "https://real.test/v1", "m", Secret(CANARY), {})
    options = read_options({"litellm_provider": "groq", "params": {"api_version": "1"}})
    assert arguments(call(body), endpoint, options) == {
        "messages": body["messages"],
        "temperature": 0.5,
        "api_version": "1",
        "_skip_mcp_handler": True,
        "model": "groq/m",
        "api_key": CANARY,
        "api_base": "https://real.test/v1",
        "timeout": 600.0,
        "max_retries": 0,
        "num_retries": 0,
        "no-log": True,
    }


@pytest.mark.parametrize("body", [b"{", b"[]", b"null"])
def test_what_is_no_object_is_refused(body):
    endpoint = Endpoint("litellm", "https://real.test/v1", "m")
    the_call = call()
    broken = type(the_call)("chat", "a", body)
    with pytest.raises(MalformedJson):
        arguments(broken, endpoint, read_options({"litellm_provider": "groq"}))


def test_an_empty_request_is_refused_by_name():
    endpoint = Endpoint("litellm", "https://real.test/v1", "m")
    with pytest.raises(InvalidField) as caught:
        arguments(call({}), endpoint, read_options({"litellm_provider": "groq"}))
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, "litellm_provider"),
        ({"litellm_provider": "vertex_ai"}, "litellm_provider"),
        ({"litellm_provider": "groq", "params": {"api_base": "http://x"}}, "params.api_base"),
        ({"litellm_provider": "groq", "total_s": -1}, "total_s"),
        ({"litellm_provider": "groq", "more": 1}, "more"),
    ],
)
async def test_wrong_options_are_told_by_name(options, names, pool):
    assert names in (find_option_error("litellm", options) or "")
    endpoint = Endpoint("litellm", "https://real.test/v1", "m", None, options)
    with pytest.raises(UpstreamInvalid, match=names):
        await ask(call(), endpoint, pool)


def test_the_library_is_not_loaded_before_it_is_called():
    code = (
        "import sys; from apps.providers.adapters.registry import get_adapter, FAMILIES;"
        "[get_adapter(f) for f in FAMILIES];"
        "print([m for m in ('litellm', 'httpx', 'openai', 'django') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
