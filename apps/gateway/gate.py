"""Admission under load: how many requests run at once, who waits, and who is turned away.

While there is room a request passes with one comparison. When there is none it waits in the line
of its client; the lines get room in turn (deficit round robin), so a client that asks for a
thousand times as much as another waits, and not the other. Waiting is short or it is not at all:
a line that does not empty for `interval_s` is standing, and in a standing line nobody waits
longer than `target_s` (as FQ-CoDel does with packets, RFC 8290).

Room is `most`, and less while the event loop itself is late: then the processor is what lacks.
"""

from __future__ import annotations

import asyncio
import resource
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec

from chatvault.lib import clock
from chatvault.lib.errors import Overloaded

if TYPE_CHECKING:
    from apps.gateway.metrics import Metrics

TICK_S: Final = 0.02
LAG_S: Final = 0.25  # a loop that is never less late than this has too much to do
LAG_WINDOW_S: Final = 1.0
FLOOR: Final = 1024  # requests that always have room, however late the loop is
MOST_RUNNING: Final = 10_000
SPARE_DESCRIPTORS: Final = 512
BYTES_A_TURN: Final = 64 * 1024  # a body of this size costs a client one more turn
MOST_TURNS: Final = 16


class GateOptions(msgspec.Struct, frozen=True):
    """Ceilings of one process. 0: derived from what the system lets it open."""

    running: int = 0
    queue: int = 1000
    target_s: float = 0.5
    interval_s: float = 2.0
    bodies_bytes: int = 512 * 2**20


def options_of(gateway: Any) -> GateOptions:
    """From the typed settings of the gateway."""
    return GateOptions(
        running=gateway.max_running,
        queue=gateway.max_queue,
        target_s=gateway.queue_target_ms / 1000,
        interval_s=gateway.queue_interval_ms / 1000,
        bodies_bytes=gateway.max_bodies_mib * 2**20,
    )


def most_running() -> int:
    """A request takes a connection of its client and one to a provider; some are kept idle."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min((descriptors - SPARE_DESCRIPTORS) * 2 // 5, MOST_RUNNING))


def most_connections() -> int:
    """What is left for clients, most of whom may be idle."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(32, (descriptors - SPARE_DESCRIPTORS) * 3 // 5)


class Waiter(msgspec.Struct, gc=False, eq=False):
    """One request in its client's line. The future says whether it may go on."""

    admitted: asyncio.Future[bool]
    since: float
    turns: int


class Line:
    """The requests of one client that wait, and the turns it has saved."""

    __slots__ = ("client_id", "credit", "standing_since", "waiters")

    def __init__(self, client_id: int) -> None:
        self.client_id = client_id
        self.credit = 0
        self.standing_since = 0.0
        self.waiters: deque[Waiter] = deque()


class Gate:
    """Belongs to one event loop. `running` is raised by the pipeline itself where it is free:

    if gate.running < gate.limit and not gate.waiting:
        gate.running += 1
    else:
        await gate.wait(client_id, size)
    """

    def __init__(self, options: GateOptions, metrics: Metrics) -> None:
        self._options = options
        self._metrics = metrics
        self.most = options.running or most_running()
        self.limit = self.most
        self.running = 0
        self.waiting = 0
        self.bodies = 0  # bytes of bodies that requests hold now
        self._lines: dict[int, Line] = {}
        self._turns: deque[Line] = deque()
        self._least_lag_s = float("inf")
        self._window_began = clock.monotonic()

    # requests

    async def wait(self, client_id: int, size: int) -> None:
        """Returns when there is room. Raises Overloaded, at once where the queue is full."""
        waiter = self._stand_in_line(client_id, 1 + min(size // BYTES_A_TURN, MOST_TURNS))
        try:
            is_admitted = await waiter.admitted
        except asyncio.CancelledError:
            if not waiter.admitted.cancelled() and waiter.admitted.result():
                self.leave()  # admitted and cancelled in one turn of the loop
            raise
        self._metrics.queue_wait.observe(clock.monotonic() - waiter.since)
        if not is_admitted:
            raise self.refusal()

    def leave(self) -> None:
        """A request has ended: there is room for another."""
        self.running -= 1
        if self.waiting:
            self._admit()

    def refusal(self) -> Overloaded:
        return Overloaded(headers={"retry-after": "1"})

    def hold(self, size: int) -> bool:
        """Room in memory for a part of a body; given back with `drop`."""
        if self.bodies + size > self._options.bodies_bytes:
            return False
        self.bodies += size
        return True

    def drop(self, size: int) -> None:
        self.bodies -= size

    # the queue

    def _stand_in_line(self, client_id: int, turns: int) -> Waiter:
        line = self._lines.get(client_id)
        if self.waiting >= self._options.queue and not self._make_room(line):
            self._metrics.shed("queue_full")
            raise self.refusal()
        if line is None:
            line = self._lines[client_id] = Line(client_id)
            self._turns.append(line)
        now = clock.monotonic()
        if not line.waiters:
            line.standing_since = now
        waiter = Waiter(asyncio.get_running_loop().create_future(), now, turns)
        line.waiters.append(waiter)
        self.waiting += 1
        return waiter

    def _make_room(self, own: Line | None) -> bool:
        """Turn away the newest of the longest line; False when that is our own."""
        longest = max(self._turns, key=lambda line: len(line.waiters))
        if len(longest.waiters) <= (len(own.waiters) if own else 0) + 1:
            return False
        self._turn_away(longest.waiters.pop(), "queue_full")
        return True

    def _turn_away(self, waiter: Waiter, reason: str) -> None:
        self.waiting -= 1
        if not waiter.admitted.done():  # else its client has hung up
            self._metrics.shed(reason)
            waiter.admitted.set_result(False)

    def _admit(self) -> None:
        while self.waiting and self.running < self.limit:
            waiter = self._next()
            self.waiting -= 1
            if not waiter.admitted.done():
                self.running += 1
                waiter.admitted.set_result(True)

    def _next(self) -> Waiter:
        """Of the line whose turn it is. There is one that waits."""
        while True:
            line = self._turns[0]
            if line.waiters and line.waiters[0].turns <= line.credit:
                waiter = line.waiters.popleft()
                line.credit -= waiter.turns
                return waiter
            if line.waiters:
                line.credit += 1
                self._turns.rotate(-1)
            else:
                self._forget(self._turns.popleft())

    def _forget(self, line: Line) -> None:
        del self._lines[line.client_id]

    # time

    def tick(self, late_s: float) -> None:
        """Every TICK_S; `late_s` is how much later than that the loop came to it."""
        now = clock.monotonic()
        self._least_lag_s = min(self._least_lag_s, late_s)
        if now - self._window_began >= LAG_WINDOW_S:
            self._follow_lag()
            self._least_lag_s, self._window_began = float("inf"), now
        if self.waiting:
            self._turn_away_the_late(now)
            self._admit()
        elif self._turns:
            self._turns.clear()
            self._lines.clear()

    def _follow_lag(self) -> None:
        """Less room while the loop is never on time, more again when it is."""
        if self._least_lag_s > LAG_S:
            self.limit = min(self.limit, max(FLOOR, self.running * 9 // 10))
        elif self._least_lag_s < LAG_S / 2:
            self.limit = min(self.most, self.limit * 5 // 4 + 16)

    def _turn_away_the_late(self, now: float) -> None:
        options = self._options
        for line in self._turns:
            is_standing = now - line.standing_since > options.interval_s
            longest_s = options.target_s if is_standing else options.interval_s
            while line.waiters and now - line.waiters[0].since > longest_s:
                self._turn_away(line.waiters.popleft(), "waited")


async def keep_gate(gate: Gate, metrics: Metrics) -> None:
    """The gate's clock, which also measures how late the event loop is."""
    peak = metrics.loop_lag
    while True:
        began = clock.monotonic()
        await asyncio.sleep(TICK_S)
        late_s = clock.monotonic() - began - TICK_S
        peak.value = max(peak.value, late_s)
        metrics.gauges["chatvault_queue_length"] = gate.waiting
        gate.tick(late_s)
