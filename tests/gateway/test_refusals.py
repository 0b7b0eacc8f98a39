"""Refusals are remembered in memory, of known keys only, and written nowhere."""

from __future__ import annotations

import asyncio
import time

import pytest

from apps.accounts.credentials import Asker, KeyRecord
from apps.accounts.key_cache import KeyCache
from apps.billing.limits import QuotaLimit
from apps.gateway.contracts import GatewayRequest
from apps.gateway.refusals import KEPT, MAX_ALIAS, Refusals
from apps.gateway.wiring import Wiring
from apps.usage import refused
from chatvault.lib.errors import ModelNotFound, Unauthenticated
from tests.fakes.http import HTTP

HELLO = [{"role": "user", "content": "Hello there"}]


def chat(gateway, key, model="m"):
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": model, "messages": HELLO},
        headers={"authorization": f"Bearer {key}"},
    )


@pytest.fixture
def model(gateway, upstream):
    gateway.add_model("m", upstream.openai_url)


def latest(gateway):
    return [
        (one.client_id, one.key_id, one.alias, one.status, one.code)
        for one in gateway.plane.refusals.report().latest
    ]


def test_every_refusal_of_a_known_key_is_remembered_newest_first(gateway, model):
    before = time.time()
    quota = QuotaLimit(id=1, unit="requests", window_s=60, ceiling=1)
    key = gateway.add_client(quotas=(quota,), key_aliases=frozenset({"m"}))
    gateway.add_model("other", "http://127.0.0.1:9/v1")
    assert [chat(gateway, key, name).status_code for name in ("m", "m", "x", "other")] == [
        200, 429, 404, 403,
    ]  # fmt: skip
    assert latest(gateway) == [
        (1, 1, "other", 403, "model_not_allowed"),
        (1, 1, "x", 404, "model_not_found"),
        (1, 1, "m", 429, "rate_limit_exceeded"),
    ]
    report = gateway.plane.refusals.report()
    assert report.since_s <= before <= report.latest[-1].at_s
    assert "The model 'x' does not exist." in report.latest[1].message
    assert len(gateway.settled()) == 1


def test_a_body_that_cannot_be_read_is_a_refusal_of_its_sender(gateway, model):
    key = gateway.add_client()
    HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        content=b"{",
        headers={"authorization": f"Bearer {key}"},
    )
    assert latest(gateway) == [(1, 1, "", 400, "malformed_json")]


def test_the_list_of_models_refuses_by_name(gateway, model):
    key = gateway.add_client()
    HTTP.get(f"{gateway.openai_url}/models/none", headers={"authorization": f"Bearer {key}"})
    assert latest(gateway) == [(1, 1, "none", 404, "model_not_found")]


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        ({"key_is_active": False}, 403, "key_disabled"),
        ({"is_active": False}, 403, "key_disabled"),
        ({"expires_at_s": 1.0}, 401, "invalid_api_key"),
    ],
)
def test_a_key_that_is_refused_for_its_state_is_known(gateway, model, state, status, code):
    chat(gateway, gateway.add_client(**state))
    assert latest(gateway) == [(1, 1, "", status, code)]


def test_strangers_leave_a_count_and_nothing_else(gateway, model):
    for key in ("cv_made-up", "sk-somebody-elses-0123456789", "x" * 5_000):
        assert chat(gateway, key).status_code == 401
    report = gateway.plane.refusals.report()
    assert report.latest == ()
    assert report.counts == {(0, "invalid_api_key"): 3}
    assert report.by_code() == [("invalid_api_key", 3)]


def test_what_a_provider_refuses_is_in_the_journal_not_here(gateway, upstream):
    gateway.add_model("m", "http://127.0.0.1:9/v1")
    assert chat(gateway, gateway.add_client()).status_code == 502
    assert gateway.plane.refusals.report().counts == {}


async def _nobody(digests):
    return {}


def test_memory_is_bounded():
    refusals = Refusals()
    keys = KeyCache(_nobody, asker=Asker([b"p" * 32]))
    for number in range(KEPT + 20):
        request = GatewayRequest(
            id=b"", operation="chat", body=b"", started=0.0, accept_ms=0,
            alias=f"{number:04}" + "a" * 10_000, key=KeyRecord(7, 8, "laptop"),
        )  # fmt: skip
        refusals.note(request, ModelNotFound("m" * 10_000), keys)
    stranger = GatewayRequest(
        id=b"", operation="chat", body=b"", started=0.0, accept_ms=0, token=b"cv_" + b"x" * 60
    )
    refusals.note(stranger, Unauthenticated(), keys)
    report = refusals.report()
    assert len(report.latest) == KEPT
    assert report.latest[0].alias[:4] == f"{KEPT + 19:04}"
    assert {(len(one.alias), len(one.message)) for one in report.latest} == {(MAX_ALIAS, 500)}
    assert report.by_client_and_code() == [
        (8, "model_not_found", KEPT + 20),
        (0, "invalid_api_key", 1),
    ]


@pytest.mark.django_db(transaction=True)
async def test_a_running_gateway_tells_and_a_stopped_one_does_not():
    wiring = Wiring()
    plane = await wiring.start()
    try:
        report = await asyncio.to_thread(refused.report)
        assert report == plane.refusals.report()
    finally:
        await wiring.stop()
    assert refused.report() is None
