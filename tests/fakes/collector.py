"""An OpenTelemetry collector's stand-in: OTLP over HTTP in a process of its own.

`python -m tests.fakes.collector FILE` prints its port and writes a line of JSON for each span that
it is sent. It can be stopped with SIGSTOP, as a collector that hangs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


class Collector:
    """The process, and what it was sent."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "spans.jsonl"
        self._file.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.collector", str(self._file)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.tell(signal.SIGCONT)
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tell(self, signum: int) -> None:
        os.kill(self._process.pid, signum)

    def text(self) -> str:
        return self._file.read_text(encoding="utf-8")

    def spans(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines() if line.endswith("}")]

    def wait_for(
        self, is_so: Callable[[list[dict[str, Any]]], bool], timeout_s: float = 20.0
    ) -> list[dict[str, Any]]:
        deadline = time.monotonic() + timeout_s
        while not is_so(found := self.spans()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"it was sent only {[span['name'] for span in found]}")
            time.sleep(0.05)
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    file: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        is_right = (
            self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
        )
        if is_right:
            for line in _lines(body, self.headers.get("x-token", "")):
                self.file.write(line + "\n")
            self.file.flush()
        self.send_response(200 if is_right else 404)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def _lines(body: bytes, token: str) -> list[str]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    lines = []
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = _values(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                told = {
                    "name": span.name,
                    "kind": span.kind,
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "error": span.status.code == 2,
                    "said": span.status.message,
                    "attributes": _values(span.attributes),
                    "events": [[one.name, _values(one.attributes)] for one in span.events],
                    "links": [one.trace_id.hex() for one in span.links],
                    "resource": resource,
                    "token": token,
                }
                lines.append(json.dumps(told))
    return lines


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind) if kind else None
    return [_value(one) for one in found.values] if kind == "array_value" else found


def main() -> None:
    with Path(sys.argv[1]).open("a", encoding="utf-8") as _Handler.file:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
