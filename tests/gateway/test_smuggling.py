"""Raw bytes that a proxy and a server could read differently: 400 and the end of the connection,
or read as if what is doubtful were not there. On the fast lane, the ordinary way and for Django."""

from __future__ import annotations

import json
import re
import socket
from typing import Final

import pytest

from apps.gateway.lane import LaneProtocol
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import Gateway

CHAT: Final = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
PATHS: Final = (b"/v1/chat/completions", b"/v1/chat/completions?a=1", b"/v1/nowhere", b"/livez")
CHUNKED: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHAT), CHAT)


def _refused(length: bytes = b"%d" % len(CHAT)) -> dict[str, tuple[bytes, bytes]]:
    """By name: the head's lines after the request line, and the body."""
    host, te = b"host: x\r\n", b"transfer-encoding: chunked\r\n"
    cl = b"content-length: " + length + b"\r\n"
    return {
        "TE and CL": (host + te + cl, CHUNKED),
        "CL and TE": (host + cl + te, CHUNKED),
        "two CL": (host + cl + cl, CHAT),
        "two CL that differ": (host + cl + b"content-length: 1\r\n", CHAT),
        "CL list": (host + b"content-length: %b, %b\r\n" % (length, length), CHAT),
        "CL with plus": (host + b"content-length: +" + length + b"\r\n", CHAT),
        "CL negative": (host + b"content-length: -1\r\n", CHAT),
        "CL hexadecimal": (host + b"content-length: 0x10\r\n", CHAT),
        "CL beyond 64 bits": (host + b"content-length: 99999999999999999999\r\n", CHAT),
        "CL with a space inside": (host + b"content-length: 1 2\r\n", CHAT),
        "CL empty": (host + b"content-length:\r\n", CHAT),
        "TE not chunked last": (host + b"transfer-encoding: chunked, identity\r\n", CHUNKED),
        "TE unknown": (host + b"transfer-encoding: xchunked\r\n", CHUNKED),
        "TE twice": (host + te + b"transfer-encoding: identity\r\n", CHUNKED),
        "TE behind a tab in the name": (host + b"transfer-encoding\t: chunked\r\n", CHUNKED),
        "space before the colon": (host + b"content-length : " + length + b"\r\n", CHAT),
        "obs-fold": (host + b"x-a: 1\r\n 2\r\n" + cl, CHAT),
        "obs-fold with a tab": (host + b"x-a: 1\r\n\t2\r\n" + cl, CHAT),
        "first line folded": (b" x-a: 1\r\n" + host + cl, CHAT),
        "a bare CR in a value": (host + b"x-a: 1\rx-b: 2\r\n" + cl, CHAT),
        "a bare LF": (host + b"x-a: 1\n" + cl, CHAT),
        "a NUL in a value": (host + b"x-a: 1\x002\r\n" + cl, CHAT),
        "a control sign in a name": (host + b"x\x01a: 1\r\n" + cl, CHAT),
        "a name that is empty": (host + b": 1\r\n" + cl, CHAT),
        "no colon": (host + b"just-text\r\n" + cl, CHAT),
        "two Host": (host + b"host: y\r\n" + cl, CHAT),
        "two Host alike": (host + host + cl, CHAT),
        "no Host": (cl, CHAT),
        "chunk size with a sign": (host + te, b"+1\r\nx\r\n0\r\n\r\n"),
        "chunk size 0x": (host + te, b"0x1\r\nx\r\n0\r\n\r\n"),
        "chunk size too large": (host + te, b"fffffffffffffffff\r\nx\r\n0\r\n\r\n"),
        "chunk longer than it says": (host + te, b"1\r\nxx\r\n0\r\n\r\n"),
        "chunk line ended by LF": (host + te, b"1\nx\r\n0\r\n\r\n"),
    }


LINES: Final = {
    "absolute form": b"POST http://evil.example%b HTTP/1.1",
    "absolute form of another scheme": b"POST file://%b HTTP/1.1",
    "authority form": b"POST evil.example:80 HTTP/1.1%.0b",
    "no slash": b"POST x%b HTTP/1.1",
    "space in the target": b"POST %b x HTTP/1.1",
    "tab in the target": b"POST %b\tx HTTP/1.1",
    "two spaces": b"POST  %b HTTP/1.1\x00",
    "signs beyond ASCII": b"POST %b\xff HTTP/1.1",
    "HTTP/0.9": b"POST %b",
    "HTTP/2 without negotiation": b"POST %b HTTP/2.0",
    "HTTP/1.2": b"POST %b HTTP/1.2",
    "lower-case method": b"post %b HTTP/1.1",
    "method unknown": b"PWN %b HTTP/1.1",
    "CONNECT": b"CONNECT %b HTTP/1.1",
}


@pytest.fixture
def key(gateway: Gateway, upstream: FakeUpstream) -> str:
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client()


def send(gateway: Gateway, data: bytes) -> bytes:
    """Everything that comes back until the other side ends; b"..." at the end: it did not end."""
    client = socket.create_connection(("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
    client.settimeout(1.5)
    got = b""
    with client:
        client.sendall(data)
        try:
            while part := client.recv(65_536):
                got += part
        except ConnectionResetError:
            pass
        except TimeoutError:
            return got + b"..."
    return got


def _is_refused(answer: bytes) -> bool:
    statuses = re.findall(rb"HTTP/1\.1 (\d{3})", answer)
    return statuses == [b"400"] and not answer.endswith(b"...")


@pytest.mark.parametrize("path", PATHS)
def test_doubtful_heads_and_bodies_end_the_connection(
    gateway: Gateway, upstream: FakeUpstream, key: str, path: bytes
) -> None:
    """What follows, a whole good request, is never answered."""
    bearer = b"authorization: Bearer %b\r\n" % key.encode()
    more = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + bearer + b"\r\n"
    answers = {
        name: send(gateway, b"POST %b HTTP/1.1\r\n%b%b\r\n%b%b" % (path, head, bearer, body, more))
        for name, (head, body) in _refused().items()
    }
    assert {name: got[:90] for name, got in answers.items() if not _is_refused(got)} == {}
    assert upstream.seen == []


@pytest.mark.parametrize("path", PATHS)
def test_doubtful_request_lines_end_the_connection(
    gateway: Gateway, upstream: FakeUpstream, key: str, path: bytes
) -> None:
    rest = b"\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (
        key.encode(), len(CHAT), CHAT,
    )  # fmt: skip
    answers = {name: send(gateway, line % path + rest) for name, line in LINES.items()}
    assert {name: got[:90] for name, got in answers.items() if not _is_refused(got)} == {}
    assert upstream.seen == []


SPOOFS: Final = (
    b"X_Forwarded_For: 127.0.0.1", b"X-Forwarded-For: 127.0.0.1", b"X_Api_Key: %k",
    b"x_forwarded_proto: https", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: admin.example",
    b"Forwarded: for=127.0.0.1;proto=https", b"X-Real-IP: 127.0.0.1", b"Api_Key: %k",
    b"X-Original-URL: /admin/", b"X-Rewrite-URL: /livez", b"X-HTTP-Method-Override: GET",
    b"Remote_User: admin", b"Remote-User: admin", b"X-User-Role: owner", b"Connection: host",
    b"Connection: authorization", b"X-Forwarded-Prefix: /livez", b"content_length: 3",
    b"transfer_encoding: chunked", b"Host_: y",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS[:2])
@pytest.mark.parametrize("is_known", [True, False])
def test_headers_that_only_a_proxy_may_say_change_nothing(
    gateway: Gateway, key: str, path: bytes, is_known: bool
) -> None:
    bearer = b"authorization: Bearer %b\r\n" % key.encode() if is_known else b""
    statuses = {}
    for spoof in SPOOFS:
        line = spoof.replace(b"%k", key.encode()) + b"\r\nconnection: close\r\n"
        head = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % (path, len(CHAT))
        answer = send(gateway, head + bearer + line + b"\r\n" + CHAT)
        statuses[spoof] = answer[9:12]
    assert statuses == dict.fromkeys(SPOOFS, b"200" if is_known else b"401")


def test_a_page_of_another_site_takes_the_ordinary_way(
    gateway: Gateway, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On which CORS is answered; see chatvault/defences/cors.py."""
    ways = []
    ordinary = LaneProtocol._take_the_ordinary_way
    monkeypatch.setattr(LaneProtocol, "is_open_to_pages", True)
    monkeypatch.setattr(
        LaneProtocol, "_take_the_ordinary_way", lambda self: (ways.append(1), ordinary(self))
    )
    for origin in (b"", b"origin: https://app.example\r\n"):
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + origin
        head += b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (
            key.encode(),
            len(CHAT),
        )
        assert send(gateway, head + CHAT).startswith(b"HTTP/1.1 200 ")
    assert ways == [1]
