"""Five hundred requests at once, and money for exactly seven."""

import asyncio
import time
from collections import Counter
from itertools import cycle

from tests.proofs.figures import Figures
from tests.proofs.stage import Stage, wait_until
from tests.proofs.wire import Answer, Wire
from tests.proofs.world import (
    FIT_NANO,
    amounts,
    body_of,
    charged,
    clients,
    models,
    nonce_of,
    usd,
)

FITS = 7
_SHAPES = (("fit", False), ("full", True), ("full", False), ("fit", True))
"""Priced by request or by token, whole or streamed."""
_REASONS = {(402, "budget_exhausted"), (429, "budget_reserved_in_flight")}


def prove(stage: Stage, *, at_once: int = 500, rounds: int = 8) -> Figures:
    """`rounds` clients, each with a budget for seven; in the shapes in turn."""
    figures = Figures("exactly_seven")
    names = [f"seven{number}" for number in range(rounds)]
    stage.apply({**models(stage), **clients(stage, dict.fromkeys(names, FITS * FIT_NANO))})
    passed, spread_ms, refused = [], [], []
    for name, (alias, is_stream) in zip(names, cycle(_SHAPES), strict=False):
        answers, sent_within_ms = asyncio.run(
            _all_at_once(stage, name, at_once, alias, stream=is_stream)
        )
        passed.append(sum(answer.is_acknowledged for answer in answers))
        spread_ms.append(sent_within_ms)
        refused += [answer for answer in answers if not answer.is_acknowledged]
    wait_until(stage.is_healed)
    spent = charged(stage, names)
    refusals = Counter(f"{answer.status} {answer.error_code}" for answer in refused)
    figures.note(at_once=at_once, rounds=rounds, refused=dict(refusals))
    figures.note(sent_within_ms=max(spread_ms))
    figures.require(
        passed=(passed, [FITS] * rounds),
        spent_usd=([usd(nano) for nano in spent.values()], [usd(FITS * FIT_NANO)] * rounds),
        upstream_calls=(_calls(stage), [FITS] * rounds),
        refused_otherwise=(sum(_reason(answer) not in _REASONS for answer in refused), 0),
        refused_without_advice=(sum(not _is_advised(answer) for answer in refused), 0),
    )
    _nothing_is_held(stage, names, figures)
    figures.require(verify_ledger=(stage.verdict(), "clean"))
    return figures.show()


async def _all_at_once(
    stage: Stage, name: str, count: int, alias: str, *, stream: bool
) -> tuple[list[Answer], float]:
    """Every connection is there before the first byte is sent on any."""
    wires = [Wire(stage.url) for _ in range(count)]
    await asyncio.gather(*[wire.connect() for wire in wires])
    began = time.monotonic()
    last = began

    async def ask(number: int, wire: Wire) -> Answer:
        nonlocal last
        last = time.monotonic()
        body = body_of(alias, f"{name}-{number}", stream=stream, most=1)
        return await wire.post("/v1/chat/completions", stage.key_of(name), body)

    answers = await asyncio.gather(*[ask(number, wire) for number, wire in enumerate(wires)])
    for wire in wires:
        wire.close()
    return list(answers), round((last - began) * 1000, 1)


def _reason(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error_code


def _is_advised(answer: Answer) -> bool:
    """A client is told whether and when to come back."""
    if answer.status == 402:
        return answer.headers.get("x-should-retry") == "false"
    return int(answer.headers.get("retry-after", 0)) >= 1


def _calls(stage: Stage) -> list[int]:
    """Requests that reached the provider, by round."""
    seen = Counter(nonce_of(entry.json).partition("-")[0] for entry in stage.provider.seen())
    return [seen[name] for name in sorted(seen) if name.startswith("seven")]


def _nothing_is_held(stage: Stage, names: list[str], figures: Figures) -> None:
    """One more is refused because the money is spent, not because it is held. With money for one
    more, exactly one more passes."""
    before = [asyncio.run(_one(stage, name, "before")) for name in names]
    held = sum(_reason(answer) != (402, "budget_exhausted") for answer in before)
    stage.apply(amounts(dict.fromkeys(names, (FITS + 1) * FIT_NANO)))
    eighth = sum(asyncio.run(_one(stage, name, "eighth")).status == 200 for name in names)
    ninth = sum(asyncio.run(_one(stage, name, "ninth")).status == 200 for name in names)
    figures.require(
        held_afterwards=(held, 0), eighth_passes=(eighth, len(names)), ninth_passes=(ninth, 0)
    )


async def _one(stage: Stage, name: str, nonce: str) -> Answer:
    wire = Wire(stage.url)
    body = body_of("fit", f"{nonce}-{name}", stream=False, most=1)
    answer = await wire.post("/v1/chat/completions", stage.key_of(name), body)
    wire.close()
    return answer
