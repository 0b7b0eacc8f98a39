"""The parts that only production has: many gateway processes, and Redis that does not answer."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks import parts
from benchmarks.figures import Sample, percentile
from benchmarks.gateways.production import ChatVaultProduction, FourGateways
from benchmarks.native import Load
from benchmarks.parts import Figures, Scale, Target

CONNECTIONS = 64
LIKELY_RPS = 5000.0
OUTAGE_RATE = 500.0
SHARE_OF_SATURATION = 0.6
OUTAGE_S = 4.0
FIRST_S = 1.0
TURNS = 3
RAMP_MS = 200  # else the process that wakes first takes all connections


@dataclass(frozen=True, slots=True)
class Place:
    """Where the load comes from and where the gateway is."""

    program: Path
    load_core: int
    gateway_core: int
    log: Path


@contextmanager
def running(gateway: ChatVaultProduction, place: Place) -> Iterator[Target]:
    """An installation that answers and has done what a start brings with it."""
    found = gateway.start(place.log)
    try:
        target = Target.of(gateway.name, found, place.program, place.load_core, place.gateway_core)
        parts.until_it_answers(target)
        parts.settle(target)
        yield target
    finally:
        gateway.stop(found)


def many_processes(
    one: ChatVaultProduction, four: FourGateways, place: Place, scale: Scale, rps_32: float
) -> Figures:
    """CPU per request with four gateway processes against one: both installations run on the same
    cores and take turns, as fast as they can and at a rate that is the same for both."""
    rate = max(SHARE_OF_SATURATION * rps_32, 100.0)
    loads = {
        "full": Load(32, scale.seconds, ramp_ms=RAMP_MS),
        "rate": Load(32, scale.seconds, ramp_ms=RAMP_MS, rate=rate),
    }
    sums: dict[str, _Sum] = {}
    with running(one, place) as first, running(four, place) as second:
        installations = (("one", one, first), ("four", four, second))
        for target in (first, second):
            parts.warm_up(target)
            parts.settle(target)
        for _ in range(TURNS):
            for (kind, load), (name, gateway, target) in product(loads.items(), installations):
                found = sums.setdefault(f"{name}_{kind}", _Sum())
                front_s, whole_s = target.front_cpu_s(), target.cpu_s()
                result = target.send(load)
                target.note(result, f"{name}, {kind}")
                found.front_s += target.front_cpu_s() - front_s
                gateway.await_ingest()
                found.whole_s += target.cpu_s() - whole_s
                found.answered += result.good
        second.notes += first.notes
    figures = {"processes_rate": rate}
    for name, found in sums.items():
        if found.answered:
            figures[f"{name}_front_cpu_us"] = found.front_s / found.answered * 1e6
            figures[f"{name}_whole_cpu_us"] = found.whole_s / found.answered * 1e6
    return figures


@dataclass(slots=True)
class _Sum:
    front_s: float = 0.0
    whole_s: float = 0.0
    answered: int = 0


def outage(target: Target, gateway: ChatVaultProduction, say: Callable[[str], None]) -> Figures:
    """Steady load while Redis is stopped for a while (SIGSTOP: connections stay open, nobody
    answers) and then goes on. Answers are sorted by the moment at which they were asked for."""
    assert gateway.redis is not None
    redis_pid = gateway.redis.pid
    marks: list[float] = []

    def stop_and_go() -> None:
        time.sleep(OUTAGE_S)
        marks.append(time.monotonic())
        os.kill(redis_pid, signal.SIGSTOP)
        try:
            time.sleep(OUTAGE_S)
        finally:
            marks.append(time.monotonic())
            os.kill(redis_pid, signal.SIGCONT)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    result = target.send(Load(CONNECTIONS, 3 * OUTAGE_S, rate=OUTAGE_RATE))
    thread.join()
    stopped_s, went_on_s = (moment - result.start_us / 1e6 for moment in marks)
    periods = (
        ("before", 0.5, stopped_s - 0.05),
        ("first", stopped_s - 0.005, stopped_s + FIRST_S),  # what is under way waits, too
        ("later", stopped_s + FIRST_S, went_on_s),
        ("again", went_on_s, 3 * OUTAGE_S),
    )
    p99 = {name: _p99_ms(result.samples, start, end) for name, start, end in periods}
    refused = ", ".join(f"{count} × {status}" for status, count in result.refusals.items())
    shown = ", ".join(f"{name} {value:.1f}" for name, value in p99.items())
    say(f"{target.name}: p99 ms around a stopped Redis: {shown}; refused: {refused or 'none'}")
    target.note(result, "Redis stopped")
    figures: Figures = {"outage_errors": float(result.errors)}
    figures |= {f"outage_p99_ms_{name}": value for name, value in p99.items() if value}
    if p99["before"]:
        for name in ("first", "later", "again"):
            if p99[name]:
                figures[f"outage_added_ms_{name}"] = max(0.0, p99[name] - p99["before"])
    return figures


def _p99_ms(samples: Sequence[Sample], start_s: float, end_s: float) -> float:
    """Of what was asked for in this time, since the load began; 0: nothing was."""
    found = [
        sample.latency_us / 1000
        for sample in samples
        if start_s * 1e6 <= sample.began_us < end_s * 1e6
    ]
    return percentile(found, 0.99) if found else 0.0
