"""Admission under load: room, lines that take turns, short waits, and who is turned away."""

import asyncio
from typing import Any

import pytest

from apps.gateway.gate import FLOOR, LAG_S, LAG_WINDOW_S, Gate, GateOptions
from apps.gateway.metrics import Metrics
from chatvault.lib import clock
from chatvault.lib.errors import Overloaded

NOISY, QUIET = 1, 2


class Clocked:
    """A gate whose time passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: float) -> None:
        self.now = 100.0
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self.metrics = Metrics()
        chosen: dict[str, Any] = {"running": 2, "target_s": 0.1, "interval_s": 1.0, **options}
        self.gate = Gate(GateOptions(**chosen), self.metrics)
        self.order: list[int] = []
        self.refused: list[int] = []

    def ask(self, client: int, size: int = 0) -> asyncio.Task[None]:
        return asyncio.create_task(self._ask(client, size))

    async def _ask(self, client: int, size: int) -> None:
        gate = self.gate
        if gate.running < gate.limit and not gate.waiting:
            gate.running += 1
        else:
            try:
                await gate.wait(client, size)
            except Overloaded:
                self.refused.append(client)
                return
        self.order.append(client)

    async def pass_time(self, seconds: float, late_s: float = 0.0) -> None:
        self.now += seconds
        self.gate.tick(late_s)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def finish(self, count: int) -> None:
        for _ in range(count):
            self.gate.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def shed(self, reason: str) -> int:
        return self.metrics._shed.get((reason,), 0)


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> Clocked:
    return Clocked(monkeypatch)


async def settle() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_where_there_is_room_nobody_waits(clocked: Clocked) -> None:
    for client in (1, 2):
        clocked.ask(client)
    await settle()
    assert clocked.order == [1, 2]
    assert (clocked.gate.running, clocked.gate.waiting) == (2, 0)


async def test_room_goes_to_clients_in_turn(clocked: Clocked) -> None:
    for client in [0, 0, *[NOISY] * 6, QUIET, QUIET]:
        clocked.ask(client)
    await settle()
    for _ in range(8):
        await clocked.finish(1)
    assert clocked.order[2:6] == [NOISY, QUIET, NOISY, QUIET]
    assert clocked.order[6:] == [NOISY] * 4
    await clocked.finish(2)
    assert (clocked.gate.running, clocked.gate.waiting) == (0, 0)


async def test_a_large_body_costs_more_turns(clocked: Clocked) -> None:
    for client, size in [(0, 0), (0, 0), *[(NOISY, 2 * 64 * 1024)] * 2, *[(QUIET, 0)] * 6]:
        clocked.ask(client, size)
    await settle()
    for _ in range(8):
        await clocked.finish(1)
    assert clocked.order[2:] == [QUIET, QUIET, NOISY, QUIET, QUIET, QUIET, NOISY, QUIET]


async def test_a_burst_may_wait_and_a_standing_line_may_not(clocked: Clocked) -> None:
    for _ in range(2 + 3):
        clocked.ask(NOISY)
    await settle()
    await clocked.pass_time(0.9)  # less than the interval
    assert clocked.refused == []
    await clocked.pass_time(0.05)
    clocked.ask(QUIET)
    await settle()
    await clocked.pass_time(0.1)  # the line has stood for longer: those that came first are late
    assert clocked.refused == [NOISY] * 3
    await clocked.pass_time(0.8)
    assert clocked.refused == [NOISY] * 3  # the other's line is a burst
    await clocked.pass_time(0.2)
    assert clocked.refused == [NOISY] * 3 + [QUIET]
    assert clocked.shed("waited") == 4
    assert clocked.gate.waiting == 0


async def test_a_full_queue_turns_away_the_longest_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, queue=4)
    for client in [0, 0, *[NOISY] * 5]:
        clocked.ask(client)
    await settle()
    assert clocked.refused == [NOISY]
    clocked.ask(QUIET)
    await settle()
    assert clocked.refused == [NOISY, NOISY]
    await clocked.finish(2)
    assert QUIET in clocked.order
    assert clocked.shed("queue_full") == 2


async def test_a_client_that_hangs_up_takes_no_room(clocked: Clocked) -> None:
    tasks = [clocked.ask(client) for client in (0, 0, NOISY, QUIET)]
    await settle()
    tasks[2].cancel()
    await settle()
    await clocked.finish(1)
    assert clocked.order == [0, 0, QUIET]
    assert (clocked.gate.running, clocked.gate.waiting) == (2, 0)


async def test_a_hang_up_in_the_turn_of_admission_gives_the_room_back(clocked: Clocked) -> None:
    tasks = [clocked.ask(client) for client in (0, 0, NOISY)]
    await settle()
    clocked.gate.leave()
    tasks[2].cancel()
    await settle()
    assert clocked.gate.running == 1


async def test_a_late_loop_leaves_less_room_and_then_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clocked = Clocked(monkeypatch, running=4000)
    gate = clocked.gate
    gate.running = 3000
    await clocked.pass_time(LAG_WINDOW_S, late_s=LAG_S * 2)
    assert gate.limit == 2700
    gate.running = 10
    await clocked.pass_time(LAG_WINDOW_S, late_s=LAG_S * 2)
    assert gate.limit == FLOOR
    for _ in range(12):
        await clocked.pass_time(LAG_WINDOW_S, late_s=0.001)
    assert gate.limit == gate.most == 4000


async def test_one_late_moment_changes_nothing(clocked: Clocked) -> None:
    await clocked.pass_time(0.5, late_s=3.0)
    await clocked.pass_time(LAG_WINDOW_S, late_s=0.001)
    assert clocked.gate.limit == 2


async def test_bodies_have_one_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Clocked(monkeypatch, bodies_bytes=100).gate
    assert gate.hold(60)
    assert not gate.hold(41)
    gate.drop(60)
    assert gate.hold(100)
