"""Streams that hold next to nothing, and books that cannot be closed: what the wire then shows."""

import json
import socket
from typing import Any

import pytest

from apps.usage.journal import Settle
from chatvault.lib.errors import JournalUnavailable
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import Gateway

EVENTS = {"content-type": "text/event-stream"}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.fixture
def key(gateway: Gateway, upstream: FakeUpstream) -> str:
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client()


def talk(gateway: Gateway, key: str, *bodies: Any) -> bytes:
    """All that comes back on one connection until it has been silent for a while or closes."""
    with socket.create_connection(("127.0.0.1", int(gateway.url.rsplit(":", 1)[1]))) as client:
        client.settimeout(0.5)
        answer = b""
        for body in bodies:
            content = json.dumps(body).encode()
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
                b"content-length: %d\r\n\r\n%b" % (key.encode(), len(content), content)
            )
            try:
                while part := client.recv(65_536):
                    answer += part
            except TimeoutError:
                continue
            break
        return answer


def body_of(answer: bytes) -> bytes:
    """A chunked body. Raises ValueError when it is not one, or is not whole."""
    _, _, rest = answer.partition(b"\r\n\r\n")
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        if rest[length : length + 2] != b"\r\n":
            raise ValueError("a chunk has the wrong length")
        rest = rest[length + 2 :]
        if length == 0:
            if rest:
                raise ValueError("something follows the body")
            return body


def test_a_stream_of_nothing_but_its_end_is_one_body(gateway, upstream, key):
    upstream.will_reply_raw(200, EVENTS, b"data: [DONE]\n\n")
    answer = talk(gateway, key, CHAT | {"stream": True})
    assert body_of(answer) == b"data: [DONE]\n\n"
