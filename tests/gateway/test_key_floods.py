"""Promise S22: strangers wait, nobody is asked for them, and good keys do not notice."""

from __future__ import annotations

import msgspec
import pytest

from apps.accounts.credentials import issue_secret
from apps.gateway.plane import PlaneOptions
from tests.fakes.http import HTTP
from tests.gateway.testbed import PATIENT

HELLO = [{"role": "user", "content": "Hello there"}]
MOST = 5


@pytest.fixture
def gateway_options() -> PlaneOptions:
    return msgspec.structs.replace(PATIENT, failures_per_address=(MOST, 60))


@pytest.fixture
def asked(gateway, monkeypatch):
    """How many questions reached what stands for the database."""
    found: list[int] = []
    ask = gateway.plane.keys._load

    async def counted(questions):
        found.append(len(questions))
        return await ask(questions)

    monkeypatch.setattr(gateway.plane.keys, "_load", counted)
    return found


def chat(gateway, key):
    return HTTP.post(
        f"{gateway.openai_url}/chat/completions",
        json={"model": "m", "messages": HELLO},
        headers={"authorization": f"Bearer {key}"},
    )


def test_a_flood_of_unknown_keys_is_refused_without_asking(gateway, upstream, asked):
    gateway.add_model("m", upstream.openai_url)
    good = gateway.add_client()
    assert chat(gateway, good).status_code == 200
    answers = [chat(gateway, issue_secret()) for _ in range(MOST + 20)]
    assert [one.status_code for one in answers] == [401] * MOST + [429] * 20
    assert sum(asked) == 1 + MOST
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "too_many_attempts"
    assert int(refused.headers["retry-after"]) >= 1
    assert [chat(gateway, good).status_code for _ in range(5)] == [200] * 5


def test_a_good_key_that_is_asked_about_anew_does_not_wait(gateway, upstream):
    gateway.add_model("m", upstream.openai_url)
    good = gateway.add_client()
    assert chat(gateway, good).status_code == 200
    for _ in range(MOST + 1):
        chat(gateway, issue_secret())
    gateway.plane.keys.expire()
    assert chat(gateway, good).status_code == 200


def test_malformed_credentials_count_too(gateway, asked):
    for token in ("cv_short", "ey.ey.ey", "cvo_" + "A" * 49, "x y", "'; DROP TABLE keys; --"):
        assert chat(gateway, token).status_code == 401
    assert chat(gateway, "one more").status_code == 429
    assert asked == []
