"""Each fault breaks exactly what its name says, and the oracle tells the truth about it."""

import gzip
import json
from typing import Any

import httpx
import pytest

from tests.fakes.http import HTTP
from tests.fakes.upstream import CANARY, FAULTS, FakeUpstream
from tests.fakes.upstream.faults import named_in

MESSAGES: Any = [{"role": "user", "content": "one two three four"}]
TEXT = "You said: one two three four"


def ask(upstream: FakeUpstream, model: str, **more: Any) -> httpx.Response:
    body = {"model": model, "messages": MESSAGES} | more
    return HTTP.post(f"{upstream.openai_url}/chat/completions", json=body, timeout=5)


def partial(upstream: FakeUpstream, model: str, **more: Any) -> tuple[bytes, type | None]:
    """What arrived before the connection broke, and how it broke."""
    body = {"model": model, "messages": MESSAGES} | more
    got = b""
    url = f"{upstream.openai_url}/chat/completions"
    try:
        with HTTP.stream("POST", url, json=body, timeout=0.3) as response:
            for data in response.iter_raw():
                got += data
    except httpx.HTTPError as error:
        return got, type(error)
    return got, None


def texts(body: bytes) -> list[str]:
    """The pieces in a stream, read as leniently as the SSE standard allows."""
    body = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    said = []
    for block in body.split(b"\n\n"):
        data = [line[5:].lstrip(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        if data and data != [b"[DONE]"]:
            chunk = json.loads(b"\n".join(data))
            said += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    return [text for text in said if text]


@pytest.mark.parametrize(
    ("fault", "error", "outcome"),
    [
        ("reset-after-2", httpx.ReadError, "cut"),
        ("eof-after-2", httpx.RemoteProtocolError, "cut"),
        ("ends-after-2", None, "finished"),
        ("stall-after-2", httpx.ReadTimeout, "hung_up"),
    ],
)
def test_streams_break_after_exactly_two_tokens(upstream, fault, error, outcome):
    got, broke = partial(upstream, f"fault:{fault}", stream=True)
    assert (texts(got), broke) == (["You", " said:"], error)
    upstream.wait_until(lambda up: up.last.outcome == outcome)
    assert upstream.last.tokens == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reset", httpx.ReadError),
        ("eof", httpx.RemoteProtocolError),
        ("stall-headers", httpx.ReadTimeout),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_nothing_arrives(upstream, fault, error, stream):
    assert partial(upstream, f"fault:{fault}", stream=stream) == (b"", error)
    assert (upstream.last.tokens, upstream.last.bytes_sent) == (0, 0)


@pytest.mark.parametrize("fault", ["reset-after", "eof-after", "truncated-json", "ends-after"])
def test_whole_answers_break_in_the_middle(upstream, fault):
    got, broke = partial(upstream, f"fault:{fault}")
    assert got.startswith(b'{\n  "id"')
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(got)
    assert broke in (httpx.ReadError, httpx.RemoteProtocolError)
    assert upstream.last.outcome == "cut"


@pytest.mark.parametrize(
    "fault",
    ["crlf", "comments", "multi-line-data", "one-byte-slices", "no-space", "bom", "one-write",
     "no-done", "usage-on-last-choice", "usage-every-chunk", "usage-twice", "usage-unasked"],
)  # fmt: skip
def test_odd_but_legal_streams_say_the_same(upstream, fault):
    plain = ask(upstream, "m", stream=True)
    odd = ask(upstream, f"fault:{fault}", stream=True)
    assert "".join(texts(odd.content)) == TEXT
    assert odd.content != plain.content or fault in ("one-byte-slices", "one-write")
    assert (b"[DONE]" in odd.content) == (fault != "no-done")
    assert upstream.last.tokens == 6


def test_duplicates_are_sent_but_counted_once(upstream):
    odd = ask(upstream, "fault:duplicate-chunks", stream=True)
    assert "".join(texts(odd.content)) == "YouYou said: said: one one two two three three four four"
    assert upstream.last.tokens == 6


def test_utf8_is_split_inside_characters(upstream):
    got, _ = partial(upstream, "fault:split-utf8", stream=True)
    assert "".join(texts(got)) == "Zoë 日本語 🙂👩‍🚀 ça"
    assert upstream.last.events_sent == len(got)


@pytest.mark.parametrize(
    ("fault", "usage"),
    [
        ("no-usage", "absent"),
        ("usage-null", None),
        ("usage-negative", -7),
        ("usage-huge", 2**63),
        ("usage-zero", 0),
    ],
)
def test_usage_faults_in_whole_and_streamed_answers(upstream, fault, usage):
    body = ask(upstream, f"fault:{fault}").json()
    told = body.get("usage", "absent")
    assert (told["completion_tokens"] if isinstance(told, dict) else told) == usage
    asked = ask(upstream, f"fault:{fault}", stream=True, stream_options={"include_usage": True})
    chunks = [json.loads(line[6:]) for line in asked.text.splitlines() if line[6:7] == "{"]
    told = chunks[-1].get("usage", "absent")
    assert (told["completion_tokens"] if isinstance(told, dict) else told) == usage


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("html-200", b"<html>"),
        ("empty-200", b""),
        ("null-json", b"null"),
        ("array-json", b"[]"),
        ("deep-json", b'{"choices":[[[['),
        ("bad-json", b'{"id": "x", "choices": [{"mess'),
        ("huge-3", b'{"id":"huge"'),
    ],
)
def test_wrong_bodies(upstream, fault, first):
    reply = ask(upstream, f"fault:{fault}")
    assert reply.status_code == 200
    assert reply.content.startswith(first)
    assert (reply.content == b"") == (first == b"")


def test_gzip_and_its_bomb(upstream):
    assert ask(upstream, "fault:gzip").json()["choices"][0]["message"]["content"] == TEXT
    bomb, _ = partial(upstream, "fault:gzip-bomb-5")
    assert len(bomb) < 50_000
    assert len(gzip.decompress(bomb)) > 4_900_000


def test_redirect_and_wrong_content_type(upstream):
    assert ask(upstream, "fault:redirect").headers["location"].startswith("http://169.254.169.254")
    odd = ask(upstream, "fault:wrong-content-type", stream=True)
    assert odd.headers["content-type"] == "text/plain"


def test_error_event_in_the_stream(upstream):
    got, _ = partial(upstream, "fault:error-event-after-2", stream=True)
    assert b'data: {"error":{' in got
    assert CANARY.encode() in got
    assert b"[DONE]" not in got


@pytest.mark.parametrize(("fault", "word"), [("endless", b" w19"), ("loop", b" four")])
def test_endless_stream_ends_when_the_client_leaves(upstream, fault, word):
    body = {"model": f"fault:{fault}", "messages": MESSAGES, "stream": True}
    url = f"{upstream.openai_url}/chat/completions"
    with HTTP.stream("POST", url, json=body, timeout=5) as response:
        got = b""
        for data in response.iter_raw():
            got += data
            if word in got and got.count(b"content") > 25:
                break
    upstream.wait_until(lambda up: up.last.hung_up)
    assert upstream.last.tokens > 20


def test_trickle_is_slow_and_complete(upstream):
    reply = ask(upstream, "fault:trickle-1", stream=True, max_tokens=1)
    assert texts(reply.content) == ["You"]


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_name_is_understood(name):
    assert named_in(f"fault:{name}") == {name: None}
    assert next(iter(named_in(f"openai/fault:{name}+crlf"))) == name


def test_misspelt_faults_fail_the_test_that_asks(upstream):
    assert ask(upstream, "fault:explode").status_code == 500
    assert len(upstream.oracle.problems) == 1
    upstream.oracle.problems.clear()
