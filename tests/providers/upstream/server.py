"""A provider made of raw bytes: each test says exactly what goes over the wire, and when."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator

from apps.providers.upstream import Deadlines, UpstreamRequest

LOCAL = ("127.0.0.1", "localhost", "provider.test")
PATIENT = Deadlines(connect_s=5, first_byte_s=5, idle_s=5, total_s=20)


class Exchange:
    """One request as the server saw it, and the means to answer it."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter, number: int):
        self.head = head
        self.body = body
        self.connection = number
        self._writer = writer

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, body: bytes = b"ok", status: str = "200 OK", *lines: str) -> None:
        head = "".join(f"{line}\r\n" for line in lines)
        await self.write(
            f"HTTP/1.1 {status}\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body
        )

    def reset(self) -> None:
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()


Script = Callable[[Exchange], Awaitable[None]]


class Server:
    """Answers every request with `script`; counts connections; keeps every request."""

    def __init__(self) -> None:
        self.script: Script = Exchange.answer
        self.connections = 0
        self.lost = 0
        self.seen: list[Exchange] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Protocol(self), host, 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str = "/v1/chat/completions", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def request(self, path: str = "/v1/chat/completions", body: bytes = b"{}") -> UpstreamRequest:
        return UpstreamRequest("POST", self.url(path), (("x-test", "1"),), body)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        gone = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)
        with contextlib.suppress(*gone):
            while True:
                await self._exchange(reader, writer, number)
        self._tasks.discard(task)
        writer.transport.abort()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        exchange = Exchange(head[:-4], b"", writer, number)
        exchange.body = await reader.readexactly(int(exchange.headers.get("content-length", 0)))
        self.seen.append(exchange)
        await self.script(exchange)


class _Protocol(asyncio.StreamReaderProtocol):
    """Notices the client's leaving at once, also while the script sleeps."""

    def __init__(self, server: Server) -> None:
        super().__init__(asyncio.StreamReader(), server.serve)
        self._counts = server

    def eof_received(self) -> bool:
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._counts.lost += 1
        super().connection_lost(exc)


def raw(data: bytes) -> Script:
    """A script that sends these bytes and keeps the connection open."""

    async def script(exchange: Exchange) -> None:
        await exchange.write(data)

    return script


def raw_then_close(data: bytes) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.write(data)
        exchange.close()

    return script


@contextlib.contextmanager
def full_backlog(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that drops SYNs, as a black hole does: nobody takes what waits in its backlog."""
    with contextlib.ExitStack() as stack:
        hole = stack.enter_context(socket.socket())
        hole.bind((host, port))
        hole.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


async def until(condition: Callable[[], bool], within_s: float = 2.0) -> None:
    """Returns as soon as the condition holds; fails the test if it never does."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  no event to wait for: the state is a counter
            await asyncio.sleep(0.005)
