"""Clients that keep asking, and remember every answer that came whole."""

import http.client
import json
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Acked:
    """A request whose last byte has arrived."""

    request_id: str
    at: float  # by time.monotonic


class Traffic:
    """Threads with one connection each; every third request is a stream."""

    def __init__(self, url: str, key: str, threads: int = 4) -> None:
        self._address = urlsplit(url)
        self._key = key
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acked: list[Acked] = []
        self.failed: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(threads)
        ]

    def start(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def until(self, count: int) -> None:
        """Returns when so many answers have come. Raises AssertionError when they do not."""
        deadline = time.monotonic() + 60
        while len(self.acked) < count:
            assert time.monotonic() < deadline, f"only {len(self.acked)}: {self.failed[:3]}"
            time.sleep(0.02)

    def _run(self, number: int) -> None:
        connection = self._connect()
        turn = number
        while not self._stop.is_set():
            turn += 1
            try:
                request_id = ask(connection, self._key, stream=turn % 3 == 0)
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self._lock:
                    self.failed.append(repr(error))
                connection.close()
                connection = self._connect()
                self._stop.wait(0.1)
                continue
            with self._lock:
                self.acked.append(Acked(request_id, time.monotonic()))
            self._stop.wait(_PAUSE_S)
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname, self._address.port
        return http.client.HTTPConnection(host or "", port, timeout=20)


def ask(connection: http.client.HTTPConnection, key: str, *, stream: bool) -> str:
    """One chat; the request's id. Raises ValueError for anything but a whole answer."""
    message = {"role": "user", "content": "How much of this is remembered?"}
    body = json.dumps({"model": "demo", "messages": [message], "stream": stream})
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200 or (stream and not content.endswith(b"data: [DONE]\n\n")):
        raise ValueError(f"{answer.status}: {content[:200]!r}")
    return answer.headers["x-request-id"].replace("-", "")
