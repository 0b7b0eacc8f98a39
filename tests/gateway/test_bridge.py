"""The bridge from Django's threads: a response that nobody reads leaves nothing behind."""

import json
from typing import Any

import pytest
from django.core.signals import request_finished

from apps.gateway import bridge
from apps.gateway.bridge import MOST_WAITING
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import Gateway

PATH = "/v1/chat/completions"
CHAT: Any = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True}


@pytest.fixture
def key(gateway: Gateway, upstream: FakeUpstream) -> str:
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client()


@pytest.mark.parametrize("taken", [0, 1, MOST_WAITING + 5])
def test_closing_a_stream_ends_the_request(gateway, upstream, key, taken, monkeypatch):
    monkeypatch.setattr(request_finished, "send", lambda **_: [])  # it would close databases
    upstream.will_stream(*(f"word{n}" for n in range(1_000)), pace_s=0.001)
    head = [(b"authorization", f"Bearer {key}".encode())]
    response = bridge.respond(PATH, "POST", head, json.dumps(CHAT).encode())
    parts = iter(response)
    for _ in range(taken):
        next(parts)
    response.close()
    upstream.wait_until(lambda up: up.last.hung_up)
    [settle] = gateway.wait_settled()
    assert settle.outcome == "cancelled"
    assert gateway.plane.live == {}
