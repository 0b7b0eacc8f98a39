"""One pipeline, three doors: the same requests get the same status, body and headers."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from rest_framework.test import APIClient

from apps.billing.limits import QuotaLimit
from apps.gateway.http import app
from chatvault.defences.headers import FIXED
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import Gateway, Server

VARYING = {"x-request-id", "openai-processing-ms", "date", "server"}
# How the bytes are framed is the server's business, not the door's.
FRAMING = {"content-length", "transfer-encoding", "connection", "vary", "allow"}


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


Door = Callable[[str, str, bytes, dict[str, str]], Reply]


@pytest.fixture(scope="module")
def asgi_port(_gateway_server: Server) -> Iterator[int]:
    """The ASGI door behind a server that knows nothing of the fast lane, in the same loop."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, lifespan="off", log_config=None, http="httptools"
    )
    server = uvicorn.Server(config)

    async def begin() -> asyncio.Task[None]:
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 – uvicorn tells it by a flag alone
            await asyncio.sleep(0.005)
        return serving

    async def end(serving: asyncio.Task[None]) -> None:
        server.should_exit = server.force_exit = True
        await serving

    serving = _gateway_server.run(begin())
    yield server.servers[0].sockets[0].getsockname()[1]
    _gateway_server.run(end(serving))


def over_http(port: int) -> Door:
    def call(method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    return call


def over_drf(method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    response = APIClient().generic(
        method, path, body, content_type="application/json", headers=headers
    )
    content = b"".join(response) if response.streaming else response.content
    return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, content)


@pytest.fixture
def bed(_gateway_server: Server, upstream: FakeUpstream, tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(_gateway_server, tmp_path)
    made.add_model("gpt", upstream.openai_url, model="gpt-4o-mini")
    yield made
    made.close()


def comparable(reply: Reply) -> tuple[int, dict[str, str], Any]:
    headers = {k: v for k, v in reply.headers.items() if k not in VARYING | FRAMING}
    for name in {"x-frame-options", "content-security-policy", *map(str.lower, FIXED)}:
        headers.pop(name, None)  # of Django's middleware, on all its pages
    return reply.status, headers, reply.body


def body_of(**fields: Any) -> bytes:
    chat = {"model": "gpt", "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps(chat | fields).encode()


CASES: dict[str, tuple[str, str, bytes]] = {
    "chat": ("POST", "/v1/chat/completions", body_of()),
    "stream": ("POST", "/v1/chat/completions", body_of(stream=True)),
    "stream with usage": (
        "POST",
        "/v1/chat/completions",
        body_of(stream=True, stream_options={"include_usage": True}),
    ),
    "completions": (
        "POST",
        "/v1/completions",
        json.dumps({"model": "gpt", "prompt": "hi"}).encode(),
    ),
    "embeddings": (
        "POST",
        "/v1/embeddings",
        json.dumps({"model": "gpt", "input": "hi"}).encode(),
    ),
    "models": ("GET", "/v1/models", b""),
    "model": ("GET", "/v1/models/gpt", b""),
    "unknown model": ("GET", "/v1/models/nope", b""),
    "malformed": ("POST", "/v1/chat/completions", b'{"model": '),
    "wrong type": ("POST", "/v1/chat/completions", body_of(n="two")),
    "model that is not": ("POST", "/v1/chat/completions", body_of(model="nope")),
    "provider refuses": ("POST", "/v1/chat/completions", body_of(model="broken")),
    "unknown path": ("POST", "/v1/nope", b"{}"),
    "wrong method": ("GET", "/v1/chat/completions", b""),
    "too large": ("POST", "/v1/chat/completions", b"{" + b" " * (21 * 2**20)),
}


@pytest.mark.parametrize("name", CASES)
def test_all_doors_answer_alike(
    name: str, bed: Gateway, asgi_port: int, upstream: FakeUpstream
) -> None:
    bed.add_model("broken", upstream.openai_url, model="fault:400-canary")
    key = bed.add_client(quotas=(QuotaLimit(1, "concurrency", 1, 5),))
    headers = {"authorization": f"Bearer {key}", "x-client-request-id": "mine-1"}
    method, path, body = CASES[name]
    doors: list[Door] = [over_http(asgi_port), over_http(int(bed.url.rsplit(":")[-1])), over_drf]
    replies = []
    for door in doors:
        upstream.reset()  # its ids count up
        replies.append(comparable(door(method, path, body, headers)))
    assert replies[1] == replies[0], "the fast lane differs from ASGI"
    assert replies[2] == replies[0], "DRF differs from ASGI"


def test_all_doors_refuse_strangers_alike(bed: Gateway, asgi_port: int) -> None:
    doors: list[Door] = [over_http(asgi_port), over_http(int(bed.url.rsplit(":")[-1])), over_drf]
    for headers in ({}, {"authorization": "Bearer cv_wrong"}, {"x-api-key": "x" * 600}):
        replies = [
            comparable(door("POST", "/v1/chat/completions", body_of(), headers)) for door in doors
        ]
        assert replies[0][0] == 401
        assert replies[0][1]["www-authenticate"] == "Bearer"
        assert replies == [replies[0]] * 3
