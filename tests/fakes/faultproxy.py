"""A TCP proxy that misbehaves on demand, between us and any server; switchable while it runs."""

import asyncio
import random
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

_READ = 65_536


@dataclass(slots=True)
class Toxics:
    """What is wrong with the line now. Both directions unless told otherwise; times in seconds."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    slice_bytes: int | None = None
    is_blackhole: bool = False
    """Connections are accepted, bytes are read, and nothing is ever passed on."""
    drops_answers: bool = False
    """Half-open: requests arrive, answers never come back."""
    refuses: bool = False
    """New connections are reset at once."""
    reset_after_bytes: int | None = None
    """RST to the client once so many bytes of answers were passed on, counted per connection."""
    cuts_before: bytes | None = None
    """RST when a request holds these bytes; the server never sees it."""
    swallows_answer_to: bytes | None = None
    """RST to the client instead of the answer to a request that holds these bytes: the server has
    done it, and the client cannot know."""


@dataclass(slots=True)
class _Line:
    """One connection of a client through the proxy."""

    client: asyncio.StreamWriter
    is_doomed: bool = False  # it ends with the next answer, which the client does not get


class FaultProxy:
    """Forwards one loopback port to a server: `FaultProxy.to("127.0.0.1", 5432)`.

    Change `proxy.toxics.latency_s = 0.5` at any time; `proxy.heal()` makes the line good again,
    `proxy.reset_all()` sends an RST on every open connection. Runs in a thread of its own.
    """

    _running: ClassVar[list["FaultProxy"]] = []

    def __init__(self, target: tuple[str, int] | Path, *, seed: int = 0) -> None:
        self.toxics = Toxics()
        self.port = 0
        self.accepted = 0
        self.cut = 0  # requests that the server did not get
        self.swallowed = 0  # answers that the client did not get
        self._target = target
        self._random = random.Random(seed)
        self._open: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    @classmethod
    def to(cls, host: str, port: int, *, seed: int = 0) -> Self:
        return cls((host, port), seed=seed)._start()

    @classmethod
    def to_socket(cls, path: Path, *, seed: int = 0) -> Self:
        """The same in front of a Unix socket."""
        return cls(path, seed=seed)._start()

    @classmethod
    def stop_all(cls) -> None:
        while cls._running:
            cls._running.pop().stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def heal(self) -> None:
        self.toxics = Toxics()

    def reset_all(self) -> None:
        self._loop.call_soon_threadsafe(lambda: [_reset(writer) for writer in list(self._open)])

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _start(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the fault proxy did not start")
        self._running.append(self)
        return self

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_READ, backlog=4096)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        for writer in list(self._open):
            writer.transport.abort()
        for _ in range(50):  # else their tasks are cancelled, with a lot of words
            if self._open:
                await asyncio.sleep(0.01)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._open.add(client)
        try:
            if self.toxics.refuses:
                _reset(client)
                return
            back, server = await self._connect()
        except OSError:
            _reset(client)
            return
        finally:
            self._open.discard(client)
        self._open |= {client, server}
        line = _Line(client)
        pumps = [
            asyncio.create_task(self._pump(reader, server, line, is_answer=False)),
            asyncio.create_task(self._pump(back, client, line, is_answer=True)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(pumps, timeout=0.2)
        finally:
            for pump in pumps:
                pump.cancel()
            for writer in (client, server):
                self._open.discard(writer)
                writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(self._target, limit=_READ)
        return await asyncio.open_connection(*self._target, limit=_READ)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        line: "_Line",
        *,
        is_answer: bool,
    ) -> None:
        passed = 0
        try:
            while data := await reader.read(_READ):
                if self._is_cut(data, line, is_answer=is_answer):
                    _reset(line.client)
                    return
                for piece in _sliced(data, self.toxics.slice_bytes):
                    await self._delay(len(piece))
                    if self.toxics.is_blackhole or (is_answer and self.toxics.drops_answers):
                        continue
                    limit = self.toxics.reset_after_bytes if is_answer else None
                    allowed = piece if limit is None else piece[: max(0, limit - passed)]
                    writer.write(allowed)
                    passed += len(allowed)
                    await writer.drain()
                    if limit is not None and passed >= limit:
                        _reset(writer)
                        return
            if not self.toxics.is_blackhole and writer.can_write_eof():
                writer.write_eof()
        except OSError:
            writer.transport.abort()

    def _is_cut(self, data: bytes, line: "_Line", *, is_answer: bool) -> bool:
        if is_answer:
            self.swallowed += line.is_doomed
            return line.is_doomed
        before, after = self.toxics.cuts_before, self.toxics.swallows_answer_to
        line.is_doomed = line.is_doomed or (after is not None and after in data)
        is_cut = before is not None and before in data
        self.cut += is_cut
        return is_cut

    async def _delay(self, size: int) -> None:
        toxics = self.toxics
        wait_s = toxics.latency_s + self._random.uniform(0, toxics.jitter_s)
        if toxics.bytes_per_s:
            wait_s += size / toxics.bytes_per_s
        await asyncio.sleep(wait_s)


def _sliced(data: bytes, size: int | None) -> list[bytes]:
    if size is None:
        return [data]
    return [data[at : at + size] for at in range(0, len(data), size)]


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.family != socket.AF_UNIX:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
