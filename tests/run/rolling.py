"""Rolling restarts under a steady load: does any client notice?"""

import asyncio
import os
import signal
import time
from typing import Any

from tests.proofs.figures import Figures
from tests.proofs.stage import Stage, wait_until
from tests.proofs.world import clients, models
from tests.run.load import Body, Outcome, load

CLIENT = "rolled"
_FOLLOWED_S = 1.0
_SETTLED_S = 0.3
_PATIENCE_S = 60.0


def shared(redis_url: str) -> dict[str, str]:
    """Two gateway processes; a busy machine must not look like a Redis that is away."""
    return {
        "REDIS_URL": redis_url,
        "CHATVAULT_REDIS_TIMEOUT_MS": "2000",
        "CHATVAULT_GATEWAY_PROCESSES": "2",
    }


def prove(stage: Stage, *, restarts: int, rate: float) -> Figures:
    """Replaces every gateway process `restarts` times at `rate` requests a second, of which one
    in ten is a stream of a third of a second."""
    figures = Figures("rolling_restarts")
    stage.apply({**models(stage), **clients(stage, {CLIENT: 10**15})})
    time.sleep(_FOLLOWED_S)  # by every process
    before = gateways(stage)
    outcome, seen = asyncio.run(_roll(stage, restarts, rate))
    wait_until(stage.is_healed)
    figures.note(
        restarts=restarts,
        rate=rate,
        whole=outcome.good,
        streams=outcome.streams,
        slowest_ms=int(outcome.slowest_s * 1000),
        reconnects=outcome.reconnects,
        reasons=dict(outcome.failed),
    )
    figures.require(
        failed=(sum(outcome.failed.values()), 0),
        streams_cut=(outcome.cut, 0),
        processes_replaced=(len(seen - before), restarts * len(before)),
        verify_ledger=(stage.verdict(), "clean"),
    )
    return figures.show()


def gateways(stage: Stage) -> set[int]:
    """Those that are wanted, without those that only finish."""
    return {line["pid"] for line in _lines(stage) if line["state"] == "running"}


def _is_settled(stage: Stage, count: int) -> bool:
    return [line["state"] for line in _lines(stage)] == ["running"] * count


def _lines(stage: Stage) -> list[dict[str, Any]]:
    assert stage.tree is not None
    lines = stage.tree.state().get("processes", [])
    return [line for line in lines if line["name"].startswith("gateway") and "pid" in line]


async def _roll(stage: Stage, restarts: int, rate: float) -> tuple[Outcome, set[int]]:
    stop = asyncio.Event()
    whole: Body = {"model": "brief", "messages": [{"role": "user", "content": "hi"}]}
    stream: Body = {**whole, "model": "talk", "stream": True}
    bodies = [stream, *[whole] * 9]
    running = asyncio.create_task(
        load(stage.port, stage.key_of(CLIENT), bodies, rate=rate, stop=stop)
    )
    await asyncio.sleep(_SETTLED_S)
    seen: set[int] = set()
    assert stage.tree is not None
    for _ in range(restarts):
        old = gateways(stage)
        os.kill(stage.tree.pid, signal.SIGHUP)
        async with asyncio.timeout(_PATIENCE_S):
            while gateways(stage) & old or not _is_settled(stage, len(old)):
                seen |= gateways(stage)
                await asyncio.sleep(0.05)
        seen |= gateways(stage)
    await asyncio.sleep(_SETTLED_S)
    stop.set()
    return await running, seen
