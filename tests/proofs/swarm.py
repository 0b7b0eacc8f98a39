"""Many clients at once, each with a log of its own of what it was given."""

import asyncio
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType

from tests.proofs.stage import Stage
from tests.proofs.wire import Answer, Wire
from tests.proofs.world import body_of

RICH, POOR = "rich", "poor"
_BREATHER_S = 0.02


@dataclass(slots=True)
class Sent:
    """One request as its client saw it; times by the monotonic clock."""

    nonce: str
    client: str
    alias: str
    began: float
    ended: float = 0.0
    answer: Answer = field(default_factory=Answer)


class Swarm:
    """Clients that ask, whole and streamed, until the block is left. Runs in a thread."""

    def __init__(self, stage: Stage, *, clients: int, pause_s: float, seed: int) -> None:
        self.log: list[Sent] = []
        self._stage = stage
        self._clients = clients
        self._pause_s = pause_s
        self._seed = seed
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self) -> "Swarm":
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

    def answered_since(self, moment: float) -> float | None:
        """When the first request that began after the moment was acknowledged."""
        ends = [
            sent.ended
            for sent in self.log[-5000:]
            if sent.began > moment and sent.answer.is_acknowledged
        ]
        return min(ends, default=None)

    def refusals(self, client: str) -> Counter[str]:
        answers = (sent.answer for sent in self.log if sent.client == client)
        return Counter(
            f"{answer.status} {answer.error_code}" for answer in answers if answer.status >= 400
        )

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._clients):
                group.create_task(self._one(number))

    async def _one(self, number: int) -> None:
        chance = random.Random(self._seed * 1000 + number)
        client = POOR if number % 5 == 0 else RICH
        wire = Wire(self._stage.url)
        count = 0
        while not self._is_over:
            count += 1
            alias = chance.choice(("talk", "brief"))
            sent = Sent(f"n{number}x{count}", client, alias, time.monotonic())
            body = body_of(alias, sent.nonce, stream=chance.random() < 0.5, most=100)
            sent.answer = await wire.post("/v1/chat/completions", self._stage.key_of(client), body)
            sent.ended = time.monotonic()
            self.log.append(sent)
            await asyncio.sleep(
                _BREATHER_S if not sent.answer.status else chance.random() * 2 * self._pause_s
            )
        wire.close()
