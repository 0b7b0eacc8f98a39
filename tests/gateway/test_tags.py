"""What clients label their requests with reaches the journal, and nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.gateway import tags
from apps.gateway.steps.receive import receive
from apps.usage.records import Intent, Settle
from chatvault.lib.errors import BadRequest
from tests.fakes.http import HTTP

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
BODIES = {
    "chat/completions": CHAT,
    "completions": {"model": "m", "prompt": "Hello"},
    "embeddings": {"model": "m", "input": "Hello"},
}
GOOD = {
    "project=atlas,env=prod": (("env", "prod"), ("project", "atlas")),
    " project = atlas , env=prod ": (("env", "prod"), ("project", "atlas")),
    "a=b=c": (("a", "b=c"),),
    "": (),
    f"{'k' * 32}={'v' * 64}": (("k" * 32, "v" * 64),),
    ",".join(f"k{n}=v" for n in range(8)): tuple((f"k{n}", "v") for n in range(8)),
}
BAD = {
    "no value": "project",
    "an empty value": "project=",
    "an empty pair": "project=atlas,",
    "a capital letter": "Project=atlas",
    "a long key": "k" * 33 + "=v",
    "a long value": "k=" + "v" * 65,
    "a control character": "k=a\tb",
    "twice": "k=a,k=b",
    "nine": ",".join(f"k{n}=v" for n in range(9)),
}


def ask(gateway, key, *, header=None, path="chat/completions", **changes):
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    if header is not None:
        headers["x-chatvault-tags"] = header
    body = json.dumps(BODIES[path] | changes).encode()
    return HTTP.post(f"{gateway.openai_url}/{path}", content=body, headers=headers)


def one_of(gateway, kind):
    (found,) = [record for record in gateway.records() if isinstance(record, kind)]
    return found


@pytest.fixture
def plain(gateway, upstream):
    gateway.add_model("m", upstream.openai_url)
    return gateway


@pytest.mark.parametrize(("text", "found"), GOOD.items(), ids=range(len(GOOD)))
def test_a_header_is_pairs(text, found):
    assert tags.of_header(text.encode()) == found


def test_values_may_be_of_any_script():
    assert tags.of_header("ort=Zürich".encode()) == (("ort", "Zürich"),)
    with pytest.raises(BadRequest):
        tags.of_header(b"ort=Z\xfcrich")


@pytest.mark.parametrize("path", sorted(BODIES))
def test_header_and_metadata_go_to_the_journal_together(plain, upstream, path):
    metadata = {"run": "7", "env": "test", "Bad Key": "x", "n": 5, "long": "v" * 65}
    reply = ask(plain, plain.add_client(), header="env=prod", path=path, metadata=metadata)
    assert reply.status_code == 200
    assert one_of(plain, Intent).tags == (("env", "prod"), ("run", "7"))
    assert upstream.last.json["metadata"] == metadata  # it is the client's own field
    assert not any("chatvault" in name.lower() for name in upstream.last.headers)


@pytest.mark.parametrize(
    "metadata",
    [None, [], "x", 7, {}, {"Bad": "x"}, {"a": {"b": "c"}}],
    ids=repr,
)
def test_metadata_that_is_no_tag_passes_through(plain, metadata):
    assert ask(plain, plain.add_client(), metadata=metadata).status_code == 200
    assert one_of(plain, Intent).tags == ()


def test_metadata_fills_up_to_eight(plain):
    metadata = {f"m{n}": "v" for n in range(20)}
    assert ask(plain, plain.add_client(), header="a=b", metadata=metadata).status_code == 200
    assert len(one_of(plain, Intent).tags) == tags.MOST
    assert ("a", "b") in one_of(plain, Intent).tags


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_header_that_is_not_understood_costs_nothing(plain, upstream, text):
    key = plain.add_client()
    reply = ask(plain, key, header=text)
    assert reply.status_code == 400
    told = reply.json()["error"]
    assert told["type"] == "invalid_request_error" and "x-chatvault-tags" in told["message"]
    other = APIClient().generic(
        "POST",
        "/v1/chat/completions",
        json.dumps(CHAT).encode(),
        content_type="application/json",
        headers={"authorization": f"Bearer {key}", "x-chatvault-tags": text},
    )
    assert (other.status_code, json.loads(other.content)) == (400, reply.json())
    assert not upstream.seen and not plain.records()


def test_the_drf_door_takes_them_too(plain):
    reply = APIClient().generic(
        "POST",
        "/v1/chat/completions",
        json.dumps(CHAT).encode(),
        content_type="application/json",
        headers={"authorization": f"Bearer {plain.add_client()}", "x-chatvault-tags": "a=b"},
    )
    assert reply.status_code == 200
    assert one_of(plain, Intent).tags == (("a", "b"),)


def test_requests_without_tags_decode_nothing_more(plain, monkeypatch):
    """The hot path: neither the header's nor the metadata's reader is called."""

    def never(*_args: object) -> None:
        raise AssertionError

    monkeypatch.setattr(tags, "of_header", never)
    monkeypatch.setattr(receive.__globals__["with_metadata"], "__code__", never.__code__)
    assert ask(plain, plain.add_client()).status_code == 200


def test_what_was_told_of_service_and_counts_goes_to_the_journal(plain, upstream):
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"image_tokens": 60},
        "completion_tokens_details": {"image_tokens": 9},
        "server_tool_use": {"web_search_requests": 3},
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    answer = {"id": "x", "choices": [choice], "usage": usage, "service_tier": "flex"}
    head = {"content-type": "application/json"}
    upstream.will_reply_raw(200, head, json.dumps(answer).encode())
    assert ask(plain, plain.add_client()).status_code == 200
    found = one_of(plain, Settle)
    assert found.service_tier == "flex"
    assert (found.usage.image_input_tokens, found.usage.image_output_tokens) == (60, 9)
    assert found.usage.searches == 3
    assert found.first_byte_ms >= 0 and not found.error_detail


@pytest.mark.parametrize("fault", ["401", "503", "bad-json"])
def test_an_error_is_told_by_class_code_and_status(gateway, upstream, fault):
    gateway.add_model("m", upstream.openai_url, models=(f"fault:{fault}",))
    assert ask(gateway, gateway.add_client()).status_code >= 500
    detail = one_of(gateway, Settle).error_detail
    if fault == "bad-json":
        assert detail == "UpstreamInvalid upstream_invalid"
    else:
        assert detail.startswith("UpstreamRefused ") and detail.endswith(f"said {fault}")
    assert "CANARY" not in detail.upper()
