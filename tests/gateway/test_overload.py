"""Five times as much is asked as there is room for: the excess is refused fast, goodput stays, and
a client that asks for little does not notice."""

import asyncio
from collections.abc import Iterator

import pytest

from apps.gateway.gate import GateOptions, keep_gate
from apps.gateway.plane import PlaneOptions
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import PATIENT, Gateway, Server
from tests.run.load import Body, Outcome, load

ROOM, TAKES_S = 20, 0.2
CAPACITY = ROOM / TAKES_S
SECONDS = 2.5
BODY: Body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def gateway_options() -> PlaneOptions:
    options = {name: getattr(PATIENT, name) for name in PATIENT.__struct_fields__}
    return PlaneOptions(
        **{**options, "gate": GateOptions(running=ROOM, target_s=0.1, interval_s=0.5)}
    )


@pytest.fixture
def watched(gateway: Gateway, _gateway_server: Server) -> Iterator[Gateway]:
    """With the gate's clock, as a process has it."""

    async def begin() -> asyncio.Task[None]:
        return asyncio.create_task(keep_gate(gateway.plane.gate, gateway.plane.metrics))

    task = _gateway_server.run(begin())
    yield gateway
    _gateway_server.loop.call_soon_threadsafe(task.cancel)


async def _at_rates(gateway: Gateway, rates: dict[str, float]) -> dict[str, Outcome]:
    stop = asyncio.Event()
    port = int(gateway.url.rsplit(":", 1)[1])
    running = [
        asyncio.create_task(load(port, key, [BODY], rate=rate, stop=stop))
        for key, rate in rates.items()
    ]
    await asyncio.sleep(SECONDS)
    stop.set()
    return dict(zip(rates, await asyncio.gather(*running), strict=True))


async def test_the_excess_is_refused_and_a_quiet_client_does_not_notice(
    watched: Gateway, upstream: FakeUpstream
) -> None:
    watched.add_model("m", upstream.openai_url, model=f"stream:1@{int(TAKES_S * 1000)}ms")
    noisy, quiet = watched.add_client(), watched.add_client()
    found = await _at_rates(watched, {noisy: CAPACITY * 5, quiet: CAPACITY / 10})

    # bounds that hold on a crowded machine too; `make capacity` measures them
    good = found[noisy].good + found[quiet].good
    assert set(found[noisy].failed) == {"503 overloaded"}
    assert found[noisy].failed["503 overloaded"] > found[noisy].good
    assert sum(found[quiet].failed.values()) <= found[quiet].good // 10
    assert good >= 0.3 * CAPACITY * SECONDS
    assert found[quiet].quantile_s(0.5) <= found[noisy].quantile_s(0.99)
    gate = watched.plane.gate
    assert (gate.running, gate.waiting, gate.bodies) == (0, 0, 0)
    assert len(upstream.seen) == good
    assert len(watched.settled()) == good
