"""A configuration change in the middle of a request: it goes on by what it was admitted with."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import msgspec
import pytest

from apps.gateway.plane import PlaneOptions
from tests.fakes.http import HTTP
from tests.gateway.testbed import PATIENT, Gateway

CHAT: Any = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.fixture
def gateway_options() -> PlaneOptions:
    return msgspec.structs.replace(PATIENT, first_byte_timeout_s=0.5)


def post(gateway: Gateway, key: str) -> httpx.Response:
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json=CHAT,
        headers={"authorization": f"Bearer {key}"},
    )


def test_a_fallback_that_is_removed_meanwhile_still_serves(gateway, upstream):
    gateway.add_model("m", upstream.openai_url, models=["fault:stall-headers", "good"])
    key = gateway.add_client()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, gateway, key)
        upstream.wait_until(lambda up: len(up.seen) == 1)
        gateway.remove_deployments("m")
        reply = running.result(10)
    assert reply.status_code == 200
    assert reply.headers["x-chatvault-deployment"] == "good@2"
    [settle] = gateway.settled()
    assert (settle.outcome, settle.attempts) == ("ok", 2)
    assert post(gateway, key).status_code == 503
