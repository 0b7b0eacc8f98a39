"""Clients at a steady rate over kept connections, as a well-behaved library keeps them: each is
told apart by what became of it."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

Body = dict[str, object]
_ANSWER_S = 60.0


@dataclass
class Outcome:
    """What became of the requests: `failed` says why, `cut` are streams without an end."""

    good: int = 0
    streams: int = 0
    cut: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    reconnects: int = 0
    took_s: list[float] = field(default_factory=list)
    """Of the good answers that were not streams."""

    def quantile_s(self, share: float) -> float:
        """`0.99`: what all but one in a hundred good answers took at most."""
        ordered = sorted(self.took_s) or [0.0]
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Connection:
    """One kept connection; opens anew when the last answer said that it was the last."""

    def __init__(self, port: int, key: str, outcome: Outcome) -> None:
        self._port, self._key, self._outcome = port, key, outcome
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None and not self._reader.at_eof():
            return self._reader, self._writer
        self.close()
        self._outcome.reconnects += 1
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._reader, self._writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def ask(self, body: Body) -> None:
        began = _now()
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._ask(body)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self._outcome.failed[type(error).__name__] += 1
            self.close()
        self._outcome.slowest_s = max(self._outcome.slowest_s, _now() - began)

    async def _ask(self, body: Body) -> None:
        reader, writer = await self._open()
        began = _now()
        content = json.dumps(body).encode()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (self._key.encode(), len(content), content)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        answer = await _body(reader, head)
        if not head.startswith(b"http/1.1 200"):
            self._outcome.failed[f"{head[9:12].decode()} {_code(answer)}"] += 1
        elif not body.get("stream"):
            self._outcome.good += 1
            self._outcome.took_s.append(_now() - began)
        elif answer.rstrip().endswith(b"data: [DONE]"):
            self._outcome.streams += 1
        else:
            self._outcome.cut += 1
        if b"\r\nconnection: close" in head:
            self.close()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _code(answer: bytes) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(answer)["error"]["code"])
    return "without a code"


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    _, found, rest = head.partition(b"content-length: ")
    if found:
        return await reader.readexactly(int(rest.split(b"\r\n")[0]))
    parts = []
    while size := int((await reader.readline()).strip() or b"0", 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


async def load(
    port: int,
    key: str,
    bodies: Sequence[Body],
    *,
    rate: float,
    stop: asyncio.Event,
    connections: int = 40,
) -> Outcome:
    """Asks `rate` times a second until `stop`, for the bodies in turn."""
    outcome = Outcome()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(Connection(port, key, outcome))
    running: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        try:
            connection = free.get_nowait()
        except asyncio.QueueEmpty:
            connection = Connection(port, key, outcome)
        await connection.ask(bodies[number % len(bodies)])
        free.put_nowait(connection)

    due, number = asyncio.get_running_loop().time(), 0
    while not stop.is_set():
        number += 1
        task = asyncio.create_task(one(number))
        running.add(task)
        task.add_done_callback(running.discard)
        due += 1 / rate
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), max(0.0, due - asyncio.get_running_loop().time()))
    await asyncio.gather(*running)
    while not free.empty():
        free.get_nowait().close()
    return outcome
