"""What is asked of the running stack, from outside, as its users would."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import psycopg

from tests.rehearsal.stack import HOST, OURS, Stack

_SEND = (
    "from apps.configuration.job_queue import enqueue;"
    "enqueue('keep-partitions', 'apps.usage.tasks.keep_partitions')"
)
_JOB = "SELECT state FROM configuration_jobrun WHERE name = 'keep-partitions'"
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that must be so, and what was found."""

    name: str
    answer: str
    holds: bool


class Front:
    """Connections through the proxy, with the name that the certificate is for."""

    def __init__(self, stack: Stack) -> None:
        self._port = stack.ports["8443"]
        self._trust = ssl.create_default_context(cafile=str(stack.secrets / "tls_certificate"))

    def connect(self) -> HTTPSConnection:
        connection = HTTPSConnection(HOST, self._port, timeout=30)
        raw = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        connection.sock = self._trust.wrap_socket(raw, server_hostname=HOST)
        return connection

    def get(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        connection = self.connect()
        try:
            connection.request("GET", path, headers={"Host": HOST})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read(), headers
        finally:
            connection.close()

    def chat(self, key: str, *, stream: bool = False) -> tuple[int, bytes]:
        connection = self.connect()
        message = {"role": "user", "content": "Are you all there?"}
        body = json.dumps({"model": "demo", "messages": [message], "stream": stream})
        headers = {"Host": HOST, "Authorization": f"Bearer {key}"}
        try:
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def questions(stack: Stack) -> Iterator[Question]:
    front = Front(stack)
    told = json.loads((stack.home("prepare") / "first-run.json").read_text(encoding="utf-8"))
    key = str(told["api_key"])
    for name in OURS:
        wrong = stack.health(name)
        yield Question(f"health of {name}", wrong.strip() or "well", not wrong)
    stack.wait_for(lambda: front.chat(key)[0] == 200, "the first answer")
    status, body = front.chat(key, stream=True)
    yield Question("a stream", f"{status}", status == 200 and body.endswith(b"[DONE]\n\n"))
    status, _, headers = front.get("/admin/login/")
    safe = "strict-transport-security" in headers
    yield Question("the admin", f"{status}, HSTS {safe}", status == 200 and safe)
    for path in ("/metrics", "/livez", "/readyz"):
        status = front.get(path)[0]
        yield Question(f"{path} from outside", str(status), status == 404)
    status, body = front.chat("cv_" + "0" * 43)
    yield Question("a key that nobody has", str(status), status == 401)
    yield _stop_under_traffic(stack, front, key)
    yield _jobs(stack)
    yield _ledger(stack)


def _stop_under_traffic(stack: Stack, front: Front, key: str) -> Question:
    """A node goes and comes back as in a roll-out: SIGTERM, drain, start."""
    stop = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                statuses.append(front.chat(key, stream=len(statuses) % 2 == 0)[0])
            except OSError:
                statuses.append(0)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    process = stack.processes.pop("gateway-1")
    process.terminate()
    code = process.wait(60)
    left = list((stack.home("gateway-1") / "journal").glob("*.cvj"))
    time.sleep(1)
    stack.start_one("gateway-1")
    stack.wait_for(lambda: not stack.health("gateway-1"), "the node's return")
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join(30)
    failed = [status for status in statuses if status != 200]
    answer = f"{len(statuses)} requests, failed {len(failed)} {sorted(set(failed))}, "
    answer += f"ended with {code}, unshipped segments {len(left)}"
    reset = [line for line in stack.log("proxy").splitlines() if "reset by peer" in line]
    answer += f", reset {len(reset)}" if reset else ""
    return Question("a node is replaced under traffic", answer, not (failed or code or left))


def _jobs(stack: Stack) -> Question:
    """The web asks for it, the worker makes partitions as their owner: rights are enough."""
    stack.manage("web", "shell", "-c", _SEND)
    url = Path(stack.environment("web")["DATABASE_URL_FILE"]).read_text(encoding="utf-8").strip()
    deadline = time.monotonic() + _PATIENCE_S
    state = "queued"
    with psycopg.connect(url, autocommit=True) as connection:
        while state in ("queued", "running") and time.monotonic() < deadline:
            time.sleep(0.5)
            rows = connection.execute(_JOB).fetchall()
            state = str(rows[0][0]) if rows else "queued"
    refused = [
        name for name in ("worker", "beat", "gateway-2") if "NoPermission" in stack.log(name)
    ]
    holds = state == "done" and not refused
    return Question("a job", f"{state}; refused by Redis: {refused or 'nobody'}", holds)


def _ledger(stack: Stack) -> Question:
    try:
        stack.manage("web", "verify_ledger")
    except AssertionError as error:
        return Question("the ledger", str(error), False)
    return Question("the ledger", "balances", True)
