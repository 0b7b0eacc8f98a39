"""A client that knows which bytes it has: one HTTP/1.1 connection, read to the last byte."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

DONE = b"data: [DONE]\n\n"


@dataclass
class Answer:
    """What came back, also when it broke off. `is_whole`: the message ended as HTTP says."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "").replace("-", "")

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def is_acknowledged(self) -> bool:
        """A 200 to its last byte; a stream to its end mark."""
        return self.status == 200 and self.is_whole and (not self.is_stream or self.has_end_mark)

    @property
    def has_end_mark(self) -> bool:
        return self.body.endswith(DONE)

    @property
    def looks_finished(self) -> bool:
        """What a client would take for a complete answer, whatever the connection did."""
        if self.is_stream:
            return self.has_end_mark or b'"finish_reason":"' in self.body
        return self.status == 200 and self.is_whole

    @property
    def text(self) -> str:
        """What the model said, as far as it came."""
        if not self.is_stream:
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        said = []
        for line in self.body.split(b"\n\n"):
            with contextlib.suppress(ValueError, KeyError, IndexError):
                choice = json.loads(line.removeprefix(b"data: "))["choices"][0]
                said.append(choice["delta"].get("content") or "")
        return "".join(said)

    @property
    def error_code(self) -> str:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(self.body)["error"]["code"])
        return ""


class Wire:
    """One kept-alive connection. After a broken answer `connect` must be called again."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def is_open(self) -> bool:
        return self._writer is not None

    async def connect(self) -> None:
        self.close()
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def post(self, path: str, key: str, body: Any) -> Answer:
        """Never raises for a connection that breaks: the answer tells how far it came."""
        answer = Answer()
        try:
            if not self.is_open:
                await self.connect()
            assert self._writer is not None
            self._writer.write(_request(path, key, body, self._host))
            await self._read(answer)
        except (OSError, asyncio.IncompleteReadError):
            answer.is_whole = False
        if not answer.is_whole or answer.headers.get("connection") == "close":
            self.close()
        return answer

    async def _read(self, answer: Answer) -> None:
        reader = self._reader
        assert reader is not None
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        answer.status = int(first.split(" ")[1])
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            answer.headers[name.strip().lower()] = value.strip()
        if "content-length" in answer.headers:
            answer.body = await reader.readexactly(int(answer.headers["content-length"]))
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                answer.body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        answer.is_whole = True


def _request(path: str, key: str, body: Any, host: str) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data
