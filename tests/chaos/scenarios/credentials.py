"""Every kind of credential is ended under load, on two nodes of two processes."""

import asyncio
import itertools
import random
import time

from tests.chaos import world
from tests.chaos.credentials import HELD, KINDS, LEEWAY_S, LIFE_S
from tests.chaos.scenario import scenario
from tests.chaos.site import Site, Spec
from tests.proofs.figures import Figures
from tests.proofs.wire import Wire
from tests.proofs.world import body_of

_CALLERS = 16
_BEFORE_S, _AFTER_S = 1.2, 2.5
_PAUSE_S = 0.02
_GRACE_S = 1.0
_numbers = itertools.count()


@scenario(
    "F37",
    "R15 S11",
    "Keys and tokens of every kind are ended under load, on two nodes",
    spec=Spec(nodes=2, processes=2),
)
def credentials_end(site: Site, figures: Figures, chance: random.Random) -> None:
    site.apply({**world.models(site), "clients": world.clients(site, {}, free=(HELD,))})
    late, slowest, before, after = {}, 0.0, 0, 0
    for kind in KINDS:
        good, accepted, last_s, refused = asyncio.run(_one(site, kind))
        assert "error" not in site.ask("mend", kind=kind)
        before, after = before + good, after + refused
        slowest = max(slowest, last_s)
        if accepted or not good or not refused:
            late[kind] = (good, accepted, refused)
    figures.note(kinds=len(KINDS), accepted_before=before, refused_after=after)
    figures.note(recover_s=round(slowest, 3))
    figures.require(accepted_after_1_s=(late, {}))


async def _one(site: Site, kind: str) -> tuple[int, int, float, int]:
    """Good answers while it was good, good ones a second after its end, how long the last good
    one began after its end, and refusals."""
    granted = await asyncio.to_thread(site.ask, "grant", kind=kind)
    assert "error" not in granted, granted
    log: list[tuple[float, int]] = []
    is_over = asyncio.Event()
    token = granted["token"]
    callers = [
        asyncio.create_task(_call(site.urls[number % len(site.urls)], token, log, is_over))
        for number in range(_CALLERS)
    ]
    began = time.monotonic()
    await asyncio.sleep(_BEFORE_S)
    told = await asyncio.to_thread(site.ask, "end", kind=kind)
    assert "error" not in told, told
    ended = time.monotonic()
    if kind.endswith("-expired"):
        lives_s = LIFE_S + (LEEWAY_S if kind.startswith("jwt") else 0.0)
        await asyncio.sleep(max(0.0, began + lives_s - ended))
        ended = time.monotonic()
    await asyncio.sleep(_AFTER_S)
    is_over.set()
    await asyncio.gather(*callers)
    good = [at for at, status in log if status == 200]
    return (
        sum(at <= ended for at in good),
        sum(at > ended + _GRACE_S for at in good),
        max((at - ended for at in good), default=0.0),
        sum(status in (401, 403) for _, status in log),
    )


async def _call(url: str, token: str, log: list[tuple[float, int]], is_over: asyncio.Event) -> None:
    wire = Wire(url)
    while not is_over.is_set():
        at = time.monotonic()
        body = body_of("brief", f"{HELD}-{next(_numbers)}", stream=len(log) % 2 == 0, most=5)
        answer = await wire.post("/v1/chat/completions", token, body)
        log.append((at, answer.status))
        await asyncio.sleep(_PAUSE_S)
    wire.close()
