"""Streams that hold next to nothing, and books that cannot be closed: what the wire then shows."""

import json
import socket
from typing import Any

import pytest

from apps.billing.limits import BudgetLimit, QuotaLimit
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


class TestJournalThatFailsAtTheEnd:
    @pytest.fixture(autouse=True)
    def no_room(self, gateway, monkeypatch):
        append = gateway.journal.append

        def refuse(*records: Any) -> None:
            if any(isinstance(record, Settle) for record in records):
                raise JournalUnavailable
            append(*records)

        monkeypatch.setattr(gateway.journal, "append", refuse)

    def test_a_stream_ends_in_an_error_event_and_nothing_follows(self, gateway, key):
        body = body_of(talk(gateway, key, CHAT | {"stream": True}))
        assert b"[DONE]" not in body
        last = body.rstrip(b"\n").rpartition(b"\n\n")[2]
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "journal_unavailable"

    def test_a_whole_answer_is_kept_back(self, gateway, key):
        answer = talk(gateway, key, CHAT)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert answer.count(b"HTTP/1.1 ") == 1

    @pytest.mark.usefixtures("key")
    def test_nothing_stays_reserved(self, gateway):
        budget = BudgetLimit(1, 10_000_000, "month")
        quota = QuotaLimit(1, "concurrency", 0, 2)
        key = gateway.add_client(budgets=(budget,), quotas=(quota,))
        for stream in (True, False):
            answer = talk(gateway, key, CHAT | {"stream": stream, "max_tokens": 20})
            assert b"journal_unavailable" in answer
        assert gateway.plane.live == {}
        assert gateway.limits.in_flight == 0
        assert gateway.limits.usage_of(budget).held_nano == 0
