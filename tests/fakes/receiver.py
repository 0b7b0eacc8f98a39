"""A receiver of webhooks on this machine: it keeps what it is sent and answers as it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Taken(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Receiver:
    """`answers` are used up one by one, each a status, or ("redirect", url) or ("wait", seconds);
    afterwards it is always `status` with `text`."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.answers: list[Any] = []
        self.status, self.text = 200, b"ok"
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._answer(self)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._lock = threading.Lock()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            self.taken.append(Taken(request.path, headers, body))
            answer = self.answers.pop(0) if self.answers else self.status
        status, location = answer, ""
        if isinstance(answer, tuple) and answer[0] == "redirect":
            status, location = 302, answer[1]
        elif isinstance(answer, tuple):
            time.sleep(answer[1])
            status = 200
        try:
            request.send_response(status)
            if location:
                request.send_header("location", location)
            request.send_header("content-length", str(len(self.text)))
            request.end_headers()
            request.wfile.write(self.text)
        except OSError:
            pass  # who asked did not wait

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(5)
