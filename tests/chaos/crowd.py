"""Clients of three sorts at once; each notes what it asked, when, and what it was given."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from tests.chaos.site import Site
from tests.proofs.swarm import Sent
from tests.proofs.wire import Wire
from tests.proofs.world import body_of

PATIENCE_S = 30.0
"""A request that takes longer hangs."""
_BREATHER_S = 0.05


@dataclass(frozen=True, slots=True)
class Names:
    """The clients of one scenario: with plenty, with a budget that ends, and without limits."""

    rich: str
    poor: str
    free: str

    @classmethod
    def of(cls, scenario: str) -> "Names":
        plain = scenario.replace("_", "-")
        return cls(f"rich-{plain}", f"poor-{plain}", f"free-{plain}")

    def all(self) -> tuple[str, str, str]:
        return self.rich, self.poor, self.free


@dataclass(slots=True)
class Call(Sent):
    stream: bool = False
    is_hung: bool = False

    @property
    def took_ms(self) -> float:
        return (self.ended - self.began) * 1000


class Crowd:
    """Asks, whole and streamed, until the block is left. Runs in a thread."""

    def __init__(
        self, site: Site, names: Names, *, clients: int, pause_s: float, seed: int,
        aliases: Sequence[str] = ("talk", "brief"),
        mark: str = "n",
    ) -> None:  # fmt: skip
        self.log: list[Call] = []
        self.running: set[int] = set()
        self._site = site
        self._names = names
        self._clients = clients
        self._pause_s = pause_s
        self._seed = seed
        self._aliases = aliases
        self._mark = mark
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> "Crowd":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._is_over = True
        self._thread.join()

    def answered_since(self, moment: float, client: str | None = None) -> float | None:
        """When the first request that began after the moment was acknowledged."""
        ends = [
            call.ended
            for call in self.log[-5000:]
            if call.began > moment and call.answer.is_acknowledged
            if client is None or call.client == client
        ]
        return min(ends, default=None)

    def between(self, begin: float, end: float, client: str | None = None) -> list[Call]:
        """Those that began in this time."""
        return [
            call
            for call in list(self.log)
            if begin <= call.began < end and (client is None or call.client == client)
        ]

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._one(number))

    async def _one(self, number: int) -> None:
        chance = random.Random(self._seed * 1000 + number)
        names = self._names
        client = {0: names.poor, 1: names.free}.get(number % 5, names.rich)
        wire = Wire(self._site.urls[number % len(self._site.urls)])
        key = self._site.key_of(client)
        count = 0
        await asyncio.sleep(chance.random() * self._pause_s * 2)
        while not self._is_over:
            count += 1
            nonce = f"{names.rich}-{self._mark}{number}x{count}"
            call = Call(nonce, client, chance.choice(self._aliases), time.monotonic())
            call.stream = chance.random() < 0.5
            body = body_of(call.alias, call.nonce, stream=call.stream, most=100)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    call.answer = await wire.post("/v1/chat/completions", key, body)
            except TimeoutError:
                call.is_hung = True
                wire.close()
            call.ended = time.monotonic()
            self.log.append(call)
            is_down = not call.answer.status
            await asyncio.sleep(_BREATHER_S if is_down else chance.random() * 2 * self._pause_s)
        wire.close()


def refusals(calls: Iterable[Call]) -> Counter[str]:
    answers = (call.answer for call in calls)
    return Counter(
        f"{answer.status} {answer.error_code}" for answer in answers if answer.status >= 400
    )


def p99_ms(calls: Iterable[Call]) -> float:
    """Of those that were answered whole and had nothing to wait for."""
    took = sorted(
        call.took_ms
        for call in calls
        if call.alias == "brief" and not call.stream and call.answer.is_acknowledged
    )
    return took[min(len(took) - 1, int(len(took) * 0.99))] if took else 0.0
