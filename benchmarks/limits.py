"""What limits cost: `python -m benchmarks.limits` (a Redis of its own, half a minute).

`server` is the time that Redis needs for the operations of the script, with nothing around it;
`process` the processor time of a gateway process for a reservation and its settlement, in memory
and through Redis. With `--write` the figures go to docs/capacity.json, where the capacity guide
reads them.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvloop

from apps.billing.limits import BudgetLimit, Demand, Limits, LocalLimits, QuotaLimit, ScopeLimits
from apps.billing.limits.contract import Unit
from apps.billing.limits.redis.address import parse_address
from apps.billing.limits.redis.books import LimitsBooks, client_of
from apps.billing.limits.redis.limits import LoadedBudget, RedisLimits
from apps.billing.limits.redis.plan import Plans
from apps.billing.limits.redis.script import SHA, SOURCE, Op, encode, id_of, root_key
from benchmarks import guide, processes
from benchmarks.figures import percentile
from benchmarks.gateways.production import redis_server
from chatvault.lib import clock

PREFIX, OWNER = "bench", "bench/bench"
MANY = 10**12
REQUESTS = 6_000
TASKS = 32
BATCHES = (1, 16)
TOKENS, NANO = 500, 2_500_000
_ids = itertools.count(1)


def next_id() -> bytes:
    return next(_ids).to_bytes(16, "big")


def quotas(base: int, *units: Unit) -> tuple[QuotaLimit, ...]:
    return tuple(QuotaLimit(base + i, unit, 60, MANY) for i, unit in enumerate(units))


def budget(number: int) -> tuple[BudgetLimit, ...]:
    return (BudgetLimit(number, MANY * 1000, "month"),)


SHAPES = {
    "one scope (3 quotas, 1 budget)": (
        ScopeLimits("client", 1, quotas(1, "requests", "tokens", "concurrency"), budget(1)),
    ),
    "four scopes (8 quotas, 2 budgets)": (
        ScopeLimits("key", 1, quotas(11, "requests", "tokens")),
        ScopeLimits("client", 2, quotas(21, "requests", "tokens", "concurrency"), budget(2)),
        ScopeLimits("team", 3, quotas(31, "requests", "tokens"), budget(3)),
        ScopeLimits("alias", 4, quotas(41, "requests")),
    ),
}


class Server:
    """A Redis with the limits built in it."""

    def __init__(self, port: int, pid: int) -> None:
        self.pid = pid
        self.address = parse_address(f"redis://127.0.0.1:{port}/0")
        self.client = client_of(self.address, timeout_s=5)
        self.books = LimitsBooks(self.client, PREFIX)
        known = [LoadedBudget(number, "month", 0, ()) for number in (1, 2, 3)]
        self.books.build(1, known, [], self.books.run_id())
        self.client.script_load(SOURCE)

    def ask(self, operations: list[Any]) -> None:
        blob = encode((1, 0, OWNER, 900_000_000, operations))
        self.client.evalsha(SHA, 1, root_key(PREFIX), blob)

    def forget(self) -> None:
        """What is settled and would wait for ingest."""
        self.books.forget(OWNER)

    def used_us(self) -> float:
        """Processor time of the server."""
        cpu = self.client.info("cpu")
        return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"]) * 1e6

    def percentiles_us(self) -> Iterable[tuple[str, float]]:
        """Of the time that calls of the script took."""
        found = self.client.info("latencystats")["latency_percentiles_usec_evalsha"]
        return [(name, float(found[name])) for name in ("p50", "p99")]


@contextmanager
def running_server() -> Iterator[Server]:
    core, port = processes.cores()[1], processes.free_port()
    with tempfile.TemporaryDirectory() as folder:
        words = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder]
        process = processes.spawn([redis_server(), *words, "--appendonly", "no"], core=core)
        try:
            processes.wait_until_it_listens(process, port)
            yield Server(port, process.pid)
        finally:
            processes.stop(process)


def measure_server(server: Server, scopes: tuple[ScopeLimits, ...]) -> dict[str, Any]:
    """Microseconds by operation and size of a batch."""
    plan = Plans().of(scopes, clock.wall_ns())
    figures: dict[str, Any] = {}
    for size in BATCHES:
        count = REQUESTS // size
        batches = [[next_id() for _ in range(size)] for _ in range(count)]
        raw = (plan.quotas_raw, plan.budgets_raw)
        reserving = [
            [(Op.RESERVE, id_of(one), TOKENS, str(NANO), *raw) for one in ids] for ids in batches
        ]
        settling = [[(Op.SETTLE, id_of(one), 20, "5000") for one in ids] for ids in batches]
        for name, all_operations in (("reserve", reserving), ("settle", settling)):
            server.client.config_resetstat()
            used_us = server.used_us()
            for operations in all_operations:
                server.ask(operations)
            done = count * size
            used_us = server.used_us() - used_us
            figures[f"{name}, {size} a call"] = {
                "server_cpu_us": round(used_us / done, 1),
                "per_second_one_core": round(1e6 * done / used_us),
                **{f"in_script_us_{k}": round(v / size, 1) for k, v in server.percentiles_us()},
            }
        server.forget()
    return figures


async def cpu_us(limits: Limits, scopes: tuple[ScopeLimits, ...], requests: int) -> float:
    """Of this process for a reservation and its settlement, `TASKS` of them at once."""
    demand = Demand(tokens=TOKENS, nano_usd=NANO)

    async def work() -> None:
        for _ in range(requests // TASKS):
            one = next_id()
            await limits.reserve(one, scopes, demand)
            await limits.settle(one, tokens=20, nano_usd=5000)

    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    return (time.process_time() - began) * 1e6 / requests


@asynccontextmanager
async def tied(server: Server) -> AsyncIterator[RedisLimits]:
    async def load(_budget_ids: Any) -> list[LoadedBudget]:
        raise RuntimeError("every budget is loaded")

    limits = RedisLimits(
        address=server.address, prefix=PREFIX, owner=OWNER, load=load, timeout_s=5.0
    )
    await limits.start()
    try:
        yield limits
    finally:
        await limits.stop()


async def measure_process(server: Server, scopes: tuple[ScopeLimits, ...]) -> dict[str, float]:
    """The least of a few turns: what disturbs only adds."""
    local, shared = [], []
    async with tied(server) as limits:
        for _ in range(5):
            local.append(await cpu_us(LocalLimits(), scopes, REQUESTS))
            shared.append(await cpu_us(limits, scopes, REQUESTS))
            await asyncio.sleep(0.1)
            server.forget()
        stats = limits.stats
    return {
        "in_memory_cpu_us": round(min(local), 1),
        "through_redis_cpu_us": round(min(shared), 1),
        "operations_a_batch": round(stats.operations / stats.batches, 1),
    }


def round_trip_us(server: Server) -> dict[str, float]:
    times = []
    for _ in range(2000):
        began = time.perf_counter()
        server.client.ping()
        times.append((time.perf_counter() - began) * 1e6)
    return {"p50": round(statistics.median(times), 1), "p99": round(percentile(times, 0.99), 1)}


def measure() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with running_server() as server, processes.bound_to(processes.cores()[0]):
        version = server.client.info("server")["redis_version"]
        for name, scopes in SHAPES.items():
            figures = {
                "server": measure_server(server, scopes),
                "process": uvloop.run(measure_process(server, scopes)),
            }
            found[name] = figures
    return {"redis_version": version, "shapes": found}


def main() -> None:
    figures = measure()
    print(json.dumps(figures, indent=2))
    if "--write" in sys.argv:
        guide.keep("limits_in_redis", figures)


if __name__ == "__main__":
    main()
