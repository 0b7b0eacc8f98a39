"""Client connections: when they close, what they keep, and what they let pass for a header."""

import gc
import json
import socket
import time
from typing import Any

import pytest

from apps.gateway.exchange import Exchange
from apps.gateway.gate import GateOptions
from apps.gateway.lane import LaneProtocol
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import Gateway

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}
IDLE_S = 0.3


@pytest.fixture
def key(gateway: Gateway, upstream: FakeUpstream) -> str:
    gateway.add_model("m", upstream.openai_url)
    return gateway.add_client()


def connect(gateway: Gateway) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
    client.settimeout(5)
    return client


def chat(key: str, body: Any = CHAT, more: bytes = b"") -> bytes:
    content = json.dumps(body).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
        b"content-length: %d\r\n%b\r\n%b" % (key.encode(), len(content), more, content)
    )


def models(key: str) -> bytes:
    return b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n\r\n" % key.encode()


def read_answer(client: socket.socket) -> bytes:
    """One answer that tells its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    [length] = [line for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(length.partition(b":")[2]):
        body += client.recv(65_536)
    return head + b"\r\n\r\n" + body


@pytest.mark.parametrize("last", ["chat", "models"])
def test_an_idle_connection_is_closed_whatever_it_asked_last(gateway, key, monkeypatch, last):
    monkeypatch.setattr(gateway._server._config, "timeout_keep_alive", IDLE_S)
    with connect(gateway) as client:
        for request in (models(key), chat(key), models(key), chat(key) * (last == "chat")):
            if request:
                client.sendall(request)
                assert read_answer(client).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        assert client.recv(1) == b""
        assert IDLE_S * 0.9 <= time.monotonic() - began < IDLE_S + 0.5


def test_a_running_request_is_not_idle(gateway, upstream, key, monkeypatch):
    monkeypatch.setattr(gateway._server._config, "timeout_keep_alive", IDLE_S)
    with connect(gateway) as client:
        client.sendall(models(key))
        read_answer(client)
        upstream.will_stream("one", "two", hold_after=1)
        client.sendall(chat(key))
        time.sleep(IDLE_S * 3)
        upstream.release()
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")


def test_an_idle_connection_keeps_no_body(gateway, key):
    with connect(gateway) as client:
        client.sendall(chat(key, CHAT | {"x": "a" * 3_000_000}))
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")
        exchanges = [each for each in gc.get_objects() if type(each) is Exchange]
        assert exchanges
        assert sum(len(part) for each in exchanges for part in each._parts) < 3_000_000


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/chat/completions?a=1"])
def test_trailers_are_no_headers(gateway, key, path):
    """What comes after a body passed every proxy in front unseen."""
    content = json.dumps(CHAT).encode()
    with connect(gateway) as client:
        client.sendall(
            b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"
            b"0\r\nauthorization: Bearer %b\r\n\r\n" % (path, len(content), content, key.encode())
        )
        assert read_answer(client).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("filler", [b"x-filler: " + b"a" * 100 + b"\r\n", b"a" * 1000])
@pytest.mark.parametrize("start", [b"", b"x-long: ", b"transfer-encoding: chunked\r\n\r\n0\r\n"])
def test_a_head_without_an_end_is_cut(gateway, filler, start):
    """Nobody has said who they are yet, so nothing may pile up."""
    if start.endswith(b"0\r\n") and b"\r\n" not in filler:
        start += b"x-filler: a\r\nx-long: "
    with connect(gateway) as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + start)
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 40 * 2**20:
                client.sendall(filler * 100)
                sent += len(filler) * 100
    assert sent < 8 * 2**20


def test_a_large_head_in_many_reads_is_fine_below_the_limit(gateway, key):
    with connect(gateway) as client:
        for at in range(
            0, len(request := chat(key, more=b"x-long: " + b"a" * 20_000 + b"\r\n")), 997
        ):
            client.sendall(request[at : at + 997])
            time.sleep(0.001)
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("method", ["chat", "models"])
@pytest.mark.parametrize("before", [False, True])
def test_an_offered_upgrade_is_ignored(gateway, key, method, before):
    """Java's own HTTP client offers h2c with every request."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAM\r\n"
    with connect(gateway) as client:
        if before:
            client.sendall(chat(key))
            read_answer(client)
        request = chat(key) if method == "chat" else models(key)
        client.sendall(request.replace(b"host: x\r\n", b"host: x\r\n" + offer))
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")
        client.sendall(chat(key))
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")


def test_an_upgrade_with_a_body_in_many_reads(gateway, key):
    offer = b"upgrade: h2c\r\nconnection: upgrade\r\n"
    request = chat(key, more=offer)
    with connect(gateway) as client:
        for at in range(0, len(request), 11):
            client.sendall(request[at : at + 11])
            time.sleep(0.001)
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")


def test_nobody_is_connected_through(gateway):
    with connect(gateway) as client:
        client.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize("sent", [b"", HEAD[:9], HEAD, HEAD + b"content-length: 9\r\n\r\n{"])
@pytest.mark.parametrize("before", [False, True])
def test_a_request_that_does_not_go_on_is_dropped(gateway, key, monkeypatch, sent, before):
    monkeypatch.setattr(gateway._server._config, "timeout_keep_alive", IDLE_S)
    with connect(gateway) as client:
        if before:
            client.sendall(chat(key))
            read_answer(client)
        client.sendall(sent)
        began = time.monotonic()
        assert client.recv(1) == b""
        assert IDLE_S * 0.5 < time.monotonic() - began < IDLE_S * 3 + 0.5


def test_a_slow_body_that_goes_on_is_waited_for(gateway, key, monkeypatch):
    monkeypatch.setattr(gateway._server._config, "timeout_keep_alive", IDLE_S)
    request = chat(key)
    with connect(gateway) as client:
        client.sendall(request[:-10])
        for at in range(10, 0, -1):
            time.sleep(IDLE_S / 3)
            client.sendall(request[-at : len(request) - at + 1])
        assert read_answer(client).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_takes_nothing_of_its_stream_is_let_go(gateway, upstream, key, monkeypatch):
    """Its stream does not pile up in memory, the provider is not read, and it ends."""
    monkeypatch.setattr(LaneProtocol, "stall_s", IDLE_S)
    upstream.will_stream(*["x" * 20_000] * 2000)  # 40 MB, of which sockets hold some
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
        client.sendall(chat(key, {**CHAT, "stream": True}))
        gateway.wait_for(lambda: bool(gateway._server._server.server_state.connections))
        [connection] = gateway._server._server.server_state.connections
        gateway.wait_for(lambda: connection.flow is not None and connection.flow.write_paused)
        assert connection.transport.get_write_buffer_size() < 512 * 1024
        [settled] = gateway.wait_settled()
    assert (settled.outcome, settled.http_status) == ("cancelled", 499)
    assert upstream.last.bytes_sent < 16 * 2**20
    gateway.wait_for(lambda: gateway.plane.gate.running == 0)


def test_a_client_that_reads_slowly_gets_its_stream(gateway, upstream, key, monkeypatch):
    monkeypatch.setattr(LaneProtocol, "stall_s", IDLE_S)
    upstream.will_stream(*["x" * 20_000] * 100)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(gateway.url.rsplit(":", 1)[1])))
        client.sendall(chat(key, {**CHAT, "stream": True}))
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            part = client.recv(65_536)
            assert part
            data += part
            time.sleep(0.002)
    assert b"data: [DONE]" in data


def test_one_connection_too_many_is_told_so(gateway, key, monkeypatch):
    with connect(gateway) as first:
        first.sendall(models(key))
        read_answer(first)
        monkeypatch.setattr(LaneProtocol, "most_connections", 1)
        with connect(gateway) as second:
            told = second.recv(65_536)
            assert told.startswith(b"HTTP/1.1 503 ")
            assert b'"code":"overloaded"' in told
            assert second.recv(1) == b""
        first.sendall(models(key))
        assert read_answer(first).startswith(b"HTTP/1.1 200 ")


def test_bodies_of_all_requests_have_one_ceiling(gateway, key):
    """A body that is not whole yet counts, and what it held is given back."""
    gate = gateway.plane.gate
    gate._options = GateOptions(bodies_bytes=1000)
    with connect(gateway) as slow, connect(gateway) as other:
        whole = chat(key, {**CHAT, "user": "u" * 700})
        slow.sendall(whole[:-1])
        gateway.wait_for(lambda: gate.bodies > 700)
        other.sendall(whole)
        assert b'"code":"overloaded"' in read_answer(other)
        slow.sendall(whole[-1:])
        assert read_answer(slow).startswith(b"HTTP/1.1 200 ")
    gateway.wait_for(lambda: gate.bodies == 0)
    with connect(gateway) as gone:
        gone.sendall(whole[:-1])
        gateway.wait_for(lambda: gate.bodies > 700)
    gateway.wait_for(lambda: gate.bodies == 0)
