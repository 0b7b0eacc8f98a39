"""Processes die without warning, under load; afterwards the books must be whole."""

import asyncio
import random
import statistics
import time
from collections.abc import Callable

from tests.proofs.books import compare
from tests.proofs.figures import Figures
from tests.proofs.stage import Stage, wait_until
from tests.proofs.swarm import POOR, RICH, Swarm
from tests.proofs.wire import Answer, Wire
from tests.proofs.world import FIT_NANO, amounts, body_of, charged, clients, models, usd

HEALED_S = 60.0
_CORRECTED_S = 2.0
"""Settled is not yet given back: the gateway looks every second."""
_RICH_NANO = 1_000_000_000_000
Kill = Callable[[Stage], float]
"""Kills something and sees to it that it starts again; the moment of the kill."""


def gateway(stage: Stage) -> float:
    return stage.kill("gateway")


def ingest(stage: Stage) -> float:
    return stage.kill("ingest")


def everything(stage: Stage) -> float:
    """Every process of the tree; then the same home is started again."""
    killed_at = stage.kill_everything()
    stage.start()
    return killed_at


def prove(
    name: str,
    stage: Stage,
    kill: Kill,
    *,
    kills: int,
    life_s: tuple[float, float],
    concurrent: int = 60,
    poor_nano: int = 300_000_000,
    seed: int = 1,
) -> Figures:
    """`kills` times, each after a life of `life_s` (from … to) under load."""
    figures = Figures(name)
    chance = random.Random(seed)
    budgets = {RICH: _RICH_NANO, POOR: poor_nano}
    stage.apply({**models(stage), **clients(stage, budgets)})
    recoveries, resolutions = [], []
    with Swarm(stage, clients=concurrent, pause_s=0.06, seed=seed) as swarm:
        wait_until(lambda: len(swarm.log) > concurrent)
        for _ in range(kills):
            time.sleep(chance.uniform(*life_s))
            writer = stage.running().child("gateway")
            killed_at = kill(stage)
            wait_until(lambda at=killed_at: swarm.answered_since(at) is not None)
            recoveries.append((swarm.answered_since(killed_at) or 0.0) - killed_at)
            if kill is not ingest:
                wait_until(lambda pid=writer: stage.is_resolved(pid))
                resolutions.append(time.monotonic() - killed_at)
        time.sleep(chance.uniform(*life_s))
    figures.note(clients=concurrent, killed=len(recoveries))
    resolutions.append(wait_until(stage.is_healed))
    figures.at_most(resolved_s_max=(round(max(resolutions), 2), HEALED_S))
    _say_recoveries(recoveries, figures)
    compare(stage, swarm.log, figures)
    _money(stage, swarm, budgets, figures)
    wait_until(stage.is_healed)
    figures.require(
        damaged_records=(len(list((stage.home / "journal").glob("quarantine/*"))), 0),
        verify_ledger=(stage.verdict(), "clean"),
    )
    return figures.show()


def _say_recoveries(recoveries: list[float], figures: Figures) -> None:
    figures.note(
        recover_s_median=round(statistics.median(recoveries), 3),
        recover_s_max=round(max(recoveries), 3),
    )


def _money(stage: Stage, swarm: Swarm, budgets: dict[str, int], figures: Figures) -> None:
    """Nothing is spent beyond a budget, nothing stays held, nobody is refused without need.

    That nothing is held is shown from outside: each budget is set to what the ledger says is
    spent and the price of one request; exactly one more passes.
    """
    time.sleep(_CORRECTED_S)
    spent = charged(stage, budgets)
    figures.require(
        overspend_nano=(sum(max(0, spent[name] - budgets[name]) for name in budgets), 0)
    )
    figures.note(refused_poor=dict(swarm.refusals(POOR)), spent_usd=usd(sum(spent.values())))
    refused = swarm.refusals(RICH)
    denied = sum(count for what, count in refused.items() if what[:3] in ("402", "429"))
    stage.apply(amounts({name: nano + FIT_NANO for name, nano in spent.items()}))
    leaked = overdrawn = 0
    for name in budgets:
        first, second = asyncio.run(_two(stage, name))
        leaked += first.status != 200
        overdrawn += second.status == 200
        if first.status != 200:
            figures.note(**{f"refusal_of_{name}": first.body.decode()})
    figures.note(refused_rich=dict(refused))
    figures.require(phantom=(denied, 0), leaked=(leaked, 0), overdrawn=(overdrawn, 0))


async def _two(stage: Stage, client: str) -> tuple[Answer, Answer]:
    wire = Wire(stage.url)
    answers = []
    for number in range(2):
        body = body_of("fit", f"last{number}", stream=False, most=1)
        answers.append(await wire.post("/v1/chat/completions", stage.key_of(client), body))
    wire.close()
    return answers[0], answers[1]
