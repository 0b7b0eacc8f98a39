"""A rolling restart, and the end of one process, cost no client anything."""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proofs.stage import Stage, wait_until
from tests.proofs.world import clients, models
from tests.run.rolling import CLIENT, gateways, prove, shared
from tests.run.tree import is_running
from tests.servers.valkey import ValkeyServer

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]

LONG = "stream:400@15ms"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, valkey_server: ValkeyServer) -> Iterator[Stage]:
    """Two gateway processes that share their limits."""
    valkey_server.flush()
    with Stage(tmp_path_factory.mktemp("two"), **shared(valkey_server.url)) as stage:
        yield stage


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One gateway process, which counts limits in its memory, and has little patience."""
    folder = tmp_path_factory.mktemp("one")
    with Stage(folder, CHATVAULT_GATEWAY_DRAIN_TIMEOUT_S="1.5") as stage:
        yield stage


def test_connections_are_divided_equally(two: Stage) -> None:
    wait_until(lambda: len(gateways(two)) == 2)
    pids = sorted(gateways(two))
    before = [_sockets(pid) for pid in pids]
    opened = [socket.create_connection(("127.0.0.1", two.port)) for _ in range(40)]
    wait_until(lambda: sum(map(_sockets, pids)) - sum(before) >= len(opened))
    found = [_sockets(pid) - had for pid, had in zip(pids, before, strict=True)]
    for one in opened:
        one.close()
    assert max(found) - min(found) <= 8, found


def _sockets(pid: int) -> int:
    links = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            links.append(str(path.readlink()))
    return sum(link.startswith("socket:") for link in links)


def test_rolling_restarts_fail_no_request_and_cut_no_stream(two: Stage) -> None:
    figures = prove(two, restarts=2, rate=100)
    assert not figures.broken


def test_what_one_process_does_when_it_is_told_to_end(one: Stage) -> None:
    """Idle connections get a last answer, short streams their end, long ones an error event."""
    document = models(one)
    document["deployments"].append({"name": "long", "provider": "witness", "model": LONG})
    document["aliases"].append({"name": "long", "targets": [{"deployment": "long"}]})
    document["price_books"][0]["prices"].append({"model": LONG, "input": "3", "output": "15"})
    document |= clients(one, {CLIENT: 10**15})
    document["clients"][0]["aliases"].append("long")
    one.apply(document)
    assert one.tree is not None
    pid = one.tree.child("gateway")
    idle, short, long = (_Talk(one) for _ in range(3))
    assert b"connection: close" not in idle.ask("brief").whole()
    short.ask("talk", stream=True).until(b"data: ")
    long.ask("long", stream=True).until(b"data: ")
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.3)
    assert b"connection: close" in idle.ask("brief").whole()
    assert short.rest().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    told = long.rest()
    assert b"[DONE]" not in told
    error = json.loads(told.rpartition(b"data: ")[2].partition(b"\n")[0])["error"]
    assert (error["code"], error["type"]) == ("shutting_down", "service_unavailable_error")
    wait_until(lambda: not is_running(pid))
    wait_until(lambda: "gateway ended with 0; starting it again" in one.tree.output())
    one.tree.ready()
    wait_until(one.is_healed)
    assert one.query(
        "SELECT outcome, http_status, error_code FROM usage_requestlog WHERE alias = 'long'"
    ) == [("interrupted", 503, "shutting_down")]
    assert one.verdict() == "clean"


class _Talk:
    """One connection and what came over it."""

    def __init__(self, stage: Stage) -> None:
        self._key = stage.key_of(CLIENT)
        self._socket = socket.create_connection(("127.0.0.1", stage.port), timeout=20)
        self._got = b""

    def ask(self, model: str, *, stream: bool = False) -> "_Talk":
        body = json.dumps(
            {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
        ).encode()
        self._got = b""
        self._socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (self._key.encode(), len(body), body)
        )
        return self

    def until(self, sign: bytes) -> bytes:
        while sign not in self._got:
            part = self._socket.recv(65536)
            assert part, self._got
            self._got += part
        return self._got

    def whole(self) -> bytes:
        head = self.until(b"\r\n\r\n").lower()
        assert head.startswith(b"http/1.1 200")
        return head

    def rest(self) -> bytes:
        while part := self._socket.recv(65536):
            self._got += part
        return self._got
