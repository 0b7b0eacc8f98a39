"""A crowd of one client's requests in line; another client asks for little and does not notice.

Nothing here is measured in seconds: the provider holds every place until all stand in line, so that
what is judged is the order in which they are let in, and that more never run than there is room.
"""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from apps.gateway.gate import GateOptions
from apps.gateway.plane import PlaneOptions
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import PATIENT, Gateway

ROOM, CROWD, FEW = 4, 80, 5


@pytest.fixture
def gateway_options() -> PlaneOptions:
    options = {name: getattr(PATIENT, name) for name in PATIENT.__struct_fields__}
    gate = GateOptions(running=ROOM, queue=1000, target_s=60.0, interval_s=60.0)
    return PlaneOptions(**{**options, "gate": gate})


async def _ask(session: aiohttp.ClientSession, gateway: Gateway, key: str, who: str) -> int:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "user": who}
    head = {"authorization": f"Bearer {key}"}
    async with session.post(
        f"{gateway.openai_url}/chat/completions", json=body, headers=head
    ) as it:
        await it.read()
        return it.status


async def _until(gateway: Gateway, running: int, waiting: int) -> None:
    gate = gateway.plane.gate
    await asyncio.to_thread(
        gateway.wait_for, lambda: (gate.running, gate.waiting) == (running, waiting), 30
    )


async def test_who_asks_for_little_takes_turns_with_who_asks_for_much(
    gateway: Gateway, upstream: FakeUpstream
) -> None:
    gateway.add_model("m", upstream.openai_url)
    noisy, quiet = gateway.add_client(), gateway.add_client()
    upstream.will_answer("held", hold_after=0, times=ROOM)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        crowd = [
            asyncio.create_task(_ask(session, gateway, noisy, "noisy")) for _ in range(ROOM + CROWD)
        ]
        await _until(gateway, ROOM, CROWD)
        few = [asyncio.create_task(_ask(session, gateway, quiet, "quiet")) for _ in range(FEW)]
        await _until(gateway, ROOM, CROWD + FEW)
        assert len(upstream.seen) == ROOM  # no more run than there is room for
        upstream.release()
        statuses = await asyncio.gather(*crowd, *few)

    assert statuses == [200] * (ROOM + CROWD + FEW)
    order = [seen.json["user"] for seen in upstream.seen]
    assert order[:ROOM] == ["noisy"] * ROOM
    places = [at for at, who in enumerate(order[ROOM:]) if who == "quiet"]
    assert len(places) == FEW
    # turn about: behind each of its own at most one of the crowd, and who is on the way at once
    assert places[-1] < 2 * FEW + ROOM
    gate = gateway.plane.gate
    assert (gate.running, gate.waiting) == (0, 0)
