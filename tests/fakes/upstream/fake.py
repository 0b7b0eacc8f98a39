"""The fake provider: a real HTTP server on loopback whose answers a test writes beforehand."""

import asyncio
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.fakes.upstream.answers import Answer, Failure, Gate, Raw, ToolCall, Usage, UsageMode
from tests.fakes.upstream.decide import MODELS, Scripted, decide, pieces_of
from tests.fakes.upstream.oracle import Oracle, Seen
from tests.fakes.upstream.replies import Reply
from tests.fakes.upstream.server import Connection

_FOREVER = None

_Planned = TypeVar("_Planned", Answer, Failure, Raw)


class FakeUpstream:
    """Speaks OpenAI, Anthropic and Gemini; scripts first, else faults by model name, else echo.

    It serves from a thread of its own, so that tests with or without an event loop can use it.
    Scripts queue up: each `will_…` is used `times` times (None: for ever), for the given `model`
    or for any.
    """

    def __init__(self, *, oracle_file: Path | None = None) -> None:
        self.oracle = Oracle(oracle_file)
        self.models = list(MODELS)
        self.port = 0
        self._scripts: dict[str | None, deque[tuple[Scripted, int | None]]] = defaultdict(deque)
        self._gates: list[Gate] = []
        self._stalls = Gate()
        self._live: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # where

    @property
    def url(self) -> str:
        """Root: what an Anthropic provider has as its base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        return self.url

    @property
    def gemini_url(self) -> str:
        return f"{self.url}/v1beta"

    # what it will say

    def will_answer(
        self,
        text: str = "",
        *,
        usage: Usage | None = None,
        usage_mode: UsageMode = UsageMode.NORMAL,
        finish: str | None = None,
        tool_calls: Sequence[ToolCall] = (),
        hold_after: int | None = None,
        model: str | None = None,
        times: int | None = 1,
    ) -> Answer:
        """Say this text, streamed word by word if a stream is asked."""
        answer = Answer(
            pieces_of(text), tuple(tool_calls), finish or ("tool_calls" if tool_calls else "stop"),
            usage, usage_mode, hold_after,
        )  # fmt: skip
        return self._plan(answer, model, times)

    def will_stream(
        self,
        *pieces: str,
        hold_after: int | None = None,
        pace_s: float = 0.0,
        usage: Usage | None = None,
        usage_mode: UsageMode = UsageMode.NORMAL,
        finish: str = "stop",
        model: str | None = None,
        times: int | None = 1,
    ) -> Answer:
        """Say these pieces, one event and one token each; pause after `hold_after` of them.

        A held answer goes on at `release()` and ends early when its client hangs up.
        """
        answer = Answer(
            pieces, (), finish, usage, usage_mode, hold_after, Gate(), pace_s,
        )  # fmt: skip
        return self._plan(answer, model, times)

    def will_reply_raw(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes | Sequence[bytes],
        *,
        pause_s: float = 0.0,
        hold_after: int | None = None,
        model: str | None = None,
        times: int | None = 1,
    ) -> Raw:
        """Send exactly these bytes: at once with their length, or slice by slice, chunked."""
        return self._plan(Raw(status, headers, body, pause_s, hold_after), model, times)

    def will_fail(
        self,
        status: int,
        message: str = "The fake refuses.",
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        model: str | None = None,
        times: int | None = 1,
    ) -> Failure:
        """Answer with an error in the envelope of the provider that was asked."""
        failure = Failure(status, message, type, code, headers=headers or {})
        return self._plan(failure, model, times)

    def _plan(self, planned: _Planned, model: str | None, times: int | None) -> _Planned:
        if isinstance(planned, (Answer, Raw)):
            self._gates.append(planned.gate)
        self._scripts[model].append((planned, times))
        return planned

    def release(self) -> None:
        """Let every answer that is held or stalled go on."""
        for gate in [*self._gates, self._stalls]:
            gate.open()
        self._gates.clear()
        self._stalls = Gate()

    def reset(self) -> None:
        """Forget scripts and witnesses, let go what is held, and drop all connections."""
        self._scripts.clear()
        self.release()
        self.oracle.seen, self.oracle.problems = [], []
        self.models = list(MODELS)
        if self._loop is not None and self._live:
            asyncio.run_coroutine_threadsafe(self._drop_all(), self._loop).result(5)

    # what it saw

    @property
    def seen(self) -> list[Seen]:
        """Every request so far, in order of arrival."""
        return self.oracle.seen

    @property
    def last(self) -> Seen:
        return self.oracle.seen[-1]

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._live)

    async def until(self, is_true: Callable[[Self], bool], timeout_s: float = 5.0) -> None:
        """Wait until this holds, e.g. `lambda up: up.last.hung_up`; raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while not is_true(self):
            if time.monotonic() > deadline:
                raise TimeoutError("the fake provider never saw what was expected")
            await asyncio.sleep(0.002)

    def wait_until(self, is_true: Callable[[Self], bool], timeout_s: float = 5.0) -> None:
        """`until` for tests without an event loop."""
        deadline = time.monotonic() + timeout_s
        while not is_true(self):
            if time.monotonic() > deadline:
                raise TimeoutError("the fake provider never saw what was expected")
            time.sleep(0.002)

    # running

    def start(self) -> Self:
        """Serve from a thread until `stop`."""
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise TimeoutError("the fake provider did not start")
        return self

    def _run(self, ready: threading.Event) -> None:
        async def main() -> None:
            stop = self._stop = asyncio.Event()
            server = await self.listen()
            ready.set()
            await stop.wait()
            server.close()
            await self._drop_all()

        asyncio.run(main())

    async def listen(self, port: int = 0) -> asyncio.Server:
        """Serve from the running loop."""
        self._loop = asyncio.get_running_loop()
        server = await self._loop.create_server(
            lambda: Connection(self._decide, self.oracle, self._live),
            "127.0.0.1",
            port,
            backlog=4096,
        )
        self.port = server.sockets[0].getsockname()[1]
        return server

    def stop(self) -> None:
        self.release()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
        self.oracle.close()

    async def _drop_all(self) -> None:
        for connection in list(self._live):
            connection.abort()
        while self._live:  # noqa: ASYNC110 – connection_lost comes in the next turns
            await asyncio.sleep(0)

    def _decide(self, entry: Seen) -> Reply:
        return decide(entry, take_script=self._take_script, stalls=self._stalls, models=self.models)

    def _take_script(self, model: str) -> Any:
        for name in (model, None):
            queue = self._scripts.get(name)
            if not queue:
                continue
            planned, times = queue.popleft()
            if times is None or times > 1:
                queue.appendleft((planned, None if times is None else times - 1))
            return planned
        return None
