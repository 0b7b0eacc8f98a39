"""Does a provider answer? One small real request over the way that the gateway takes."""

from __future__ import annotations

import asyncio
import re
from typing import Final, Literal

import msgspec

from apps.providers.adapters.contract import Adapter, Call, Endpoint, UpstreamRequest
from apps.providers.adapters.registry import get_adapter
from apps.providers.upstream import Caps, Deadlines, UpstreamPool
from chatvault.lib import clock
from chatvault.lib.errors import (
    BadRequest,
    UpstreamConnectFailed,
    UpstreamError,
    UpstreamForbidden,
    UpstreamInvalid,
    UpstreamRefused,
    UpstreamTimedOut,
)
from chatvault.lib.http_guard import AddressGuard

DEADLINES: Final = Deadlines(connect_s=5.0, first_byte_s=20.0, idle_s=20.0, total_s=30.0)
CAPS: Final = Caps(body_bytes=8 * 2**20, decompressed_bytes=8 * 2**20)
MAX_OUTPUT_TOKENS: Final = 16

# How the list of models is reached from where a chat would be sent to.
_MODELS_URL: Final = {
    "openai": (re.compile(r"/chat/completions$"), "/models"),
    "anthropic": (re.compile(r"/v1/messages$"), "/v1/models"),
    "gemini": (re.compile(r"/models/[^/]*$"), "/models"),
}
_CHAT: Final = msgspec.json.encode(
    {
        "model": "",
        "messages": [{"role": "user", "content": "Say OK."}],
        "max_tokens": MAX_OUTPUT_TOKENS,
    }
)
_EMBEDDINGS: Final = msgspec.json.encode({"model": "", "input": "OK"})


class Finding(msgspec.Struct, frozen=True):
    """`message` is a sentence for an operator: how quick it was, or what failed and how to mend
    it. It never holds a secret or the provider's own text beyond a cleaned excerpt."""

    is_ok: bool
    message: str
    latency_ms: int | None = None
    models: int | None = None
    is_forbidden: bool = False  # the guard would not call the address


class Network(msgspec.Struct, frozen=True):
    """What the pool is made of; `proxy` is never shown."""

    private_hosts: tuple[str, ...] = ()
    proxy: str | None = None
    no_proxy: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Network(…)"


def models_request(endpoint: Endpoint) -> UpstreamRequest | None:
    """GET of the provider's models; None where the family has no such list."""
    pattern = _MODELS_URL.get(endpoint.family)
    if pattern is None:
        return None
    named = msgspec.structs.replace(endpoint, model=endpoint.model or "any")
    chat = get_adapter(endpoint.family).build_request(_call("chat"), named)
    url, count = pattern[0].subn(pattern[1], chat.url)
    if not count:
        return None
    headers = tuple((name, value) for name, value in chat.headers if name != "content-type")
    return UpstreamRequest("GET", url, headers, b"")


async def list_models(endpoint: Endpoint, network: Network) -> Finding:
    """Ask for the provider's models, which costs nothing and needs the secret."""
    try:
        request = models_request(endpoint)
    except (UpstreamError, BadRequest) as error:
        return failure(error)
    if request is None:
        return Finding(False, "This family has no list of models: test a deployment instead.")
    pool = _pool(network)
    begin = clock.monotonic()
    try:
        answer = await pool.send(request, DEADLINES)
        body = await answer.read()
        if answer.status != 200:
            raise get_adapter(endpoint.family).read_error(answer.status, answer.headers, body)
        models = _count(body)
    except UpstreamError as error:
        return failure(error)
    finally:
        await pool.close()
    took = round((clock.monotonic() - begin) * 1000)
    return Finding(True, f"It answered in {took} ms and lists {models} models.", took, models)


async def call_model(endpoint: Endpoint, network: Network) -> Finding:
    """Ask the model for a word or two, or for one embedding; costs a fraction of a cent."""
    adapter = get_adapter(endpoint.family)
    is_embedding = "embed" in endpoint.model.lower() and "embeddings" in adapter.operations
    call = _call("embeddings" if is_embedding else "chat")
    pool = _pool(network)
    begin = clock.monotonic()
    try:
        async with asyncio.timeout(DEADLINES.total_s):
            body = await _perform(adapter, call, endpoint, pool)
        adapter.read_answer(call, body)
    except TimeoutError:
        return failure(UpstreamTimedOut("total"))
    except (UpstreamError, BadRequest) as error:
        return failure(error)
    finally:
        await pool.close()
    took = round((clock.monotonic() - begin) * 1000)
    return Finding(True, f"{endpoint.model} answered in {took} ms.", took)


async def _perform(adapter: Adapter, call: Call, endpoint: Endpoint, pool: UpstreamPool) -> bytes:
    if adapter.perform is not None:
        async with adapter.perform(call, endpoint, pool) as answer:
            status, headers, body = answer.status, answer.headers, await answer.read()
    else:
        response = await pool.send(adapter.build_request(call, endpoint), DEADLINES)
        status, headers, body = response.status, response.headers, await response.read()
    if status >= 300:
        raise adapter.read_error(status, headers, body)
    return body


def failure(error: UpstreamError | BadRequest) -> Finding:
    """What an error means for somebody who sets a provider up."""
    told = _period(error.message)
    if isinstance(error, UpstreamRefused) and error.upstream_status in (401, 403):
        told = (
            f"The provider refused the secret or what it may do (status {error.upstream_status})."
        )
    return Finding(
        False,
        f"{told} {_mend(error)}".strip(),
        is_forbidden=isinstance(error, UpstreamForbidden),
    )


def _mend(error: UpstreamError | BadRequest) -> str:
    if isinstance(error, UpstreamForbidden):
        return "Nothing was sent."
    if isinstance(error, UpstreamConnectFailed):
        return "Check the base URL, that the server runs, and HTTPS_PROXY if you need one."
    if isinstance(error, UpstreamTimedOut):
        return "Check the base URL and the network, or try again when the provider is less busy."
    if isinstance(error, UpstreamInvalid):
        return "Check that the base URL is that of the API and that the family fits it."
    if not isinstance(error, UpstreamRefused):
        return ""
    if error.upstream_status in (401, 403):
        return "Enter the secret again, and check that its account may use this model."
    if error.upstream_status == 404:
        return "Check the model's name and the base URL."
    if error.upstream_status == 429:
        return "The secret is known; try again later."
    return f"Its status was {error.upstream_status}."


def _call(operation: Literal["chat", "embeddings"]) -> Call:
    body = _CHAT if operation == "chat" else _EMBEDDINGS
    return Call(operation=operation, alias="test", body=body, max_output_tokens=MAX_OUTPUT_TOKENS)


def _pool(network: Network) -> UpstreamPool:
    return UpstreamPool(
        AddressGuard(network.private_hosts),
        proxy=network.proxy,
        no_proxy=network.no_proxy,
        caps=CAPS,
    )


def _count(body: bytes) -> int:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        told = None
    listed = (told.get("data") or told.get("models")) if isinstance(told, dict) else None
    if not isinstance(listed, list):
        if isinstance(told, dict) and ("data" in told or "models" in told):
            return 0
        raise UpstreamInvalid("The provider's answer is not a list of models.")
    return len(listed)


def _period(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
