"""The parts of the bench. Each takes a running gateway and gives figures by name.

A figure that could not be measured is left out, and the reason goes to `notes`."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import native, processes
from benchmarks.figures import (
    COARSE_LEVELS,
    LEVELS,
    PacedRun,
    highest_holding,
    is_warm,
    percentile,
)
from benchmarks.gateways.contract import ALIAS, Running
from benchmarks.native import Load, LoadResult

PROMPT = "Say hello"
PACE_US = 20_000
CONNECTIONS = (1, 32)
MANY = 32

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """How long the parts take."""

    seconds: float
    warm_ms: int
    paced_tokens: int
    first_chunk_repeats: int
    rounds: int
    levels: Sequence[int]
    tries: int


FULL = Scale(5.0, 1000, 250, 100, rounds=3, levels=LEVELS, tries=2)
QUICK = Scale(2.0, 500, 125, 30, rounds=1, levels=COARSE_LEVELS, tries=1)
WARM_UP_BURSTS = 12
IDLE_SHARE = 0.05


@dataclass(slots=True)
class Target:
    """What is loaded: a gateway, or the mock itself when there is no process to watch.

    `roots` head the trees of processes that belong to it; `fronts` are those of them that have the
    gateway core, or none: all of it has.
    """

    name: str
    port: int
    path: str
    model: str
    headers: dict[str, str]
    program: Path
    load_core: int
    gateway_core: int
    roots: tuple[int, ...] = ()
    fronts: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, name: str, running: Running, program: Path, load_core: int, gateway_core: int
    ) -> "Target":
        headers = dict(running.headers)
        roots = (running.process.pid, *running.servers.values())
        return cls(name, running.port, running.path, running.model, headers, program,
                   load_core, gateway_core, roots, running.fronts)  # fmt: skip

    @classmethod
    def mock(cls, port: int, program: Path, load_core: int, gateway_core: int) -> "Target":
        return cls("direct", port, "/v1/chat/completions", ALIAS, {}, program, load_core,
                   gateway_core)  # fmt: skip

    def send(self, load: Load, prompt: str = PROMPT) -> LoadResult:
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt}],
        }
        if load.expect_events:
            body = {"model": self.model, "stream": True, "messages": body["messages"]}
        request = native.http_request(self.path, self.headers, body)
        return native.run_load(
            self.program, core=self.load_core, port=self.port, request=request, load=load
        )

    def cpu_s(self) -> float:
        """Of all its processes."""
        return processes.trees_cpu_s(self.roots)

    def front_cpu_s(self) -> float:
        """Of what has the gateway core."""
        return sum(map(processes.cpu_s, self.fronts)) if self.fronts else self.cpu_s()

    def note(self, result: LoadResult, where: str) -> None:
        if result.errors:
            self.notes.append(f"{self.name}, {where}: {result.errors} errors: {result.first_error}")


def until_it_answers(target: Target, *, patience_s: float = 10.0) -> None:
    """Wait for a configuration to be followed; raises RuntimeError with the last refusal."""
    deadline = time.monotonic() + patience_s
    while True:
        result = target.send(Load(connections=1, seconds=5.0, repeat=1))
        if result.good:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"no good answer: {result.first_error or 'time-out'}")
        time.sleep(0.1)


def settle(target: Target, *, patience_s: float = 90.0) -> None:
    """Wait until the gateway has done what it does in the background after a start or a load."""
    deadline = time.monotonic() + patience_s
    before = target.cpu_s()
    while time.monotonic() < deadline:
        time.sleep(1.0)
        now = target.cpu_s()
        if now - before < IDLE_SHARE * (2 if target.fronts else 1):  # the servers tick, too
            return
        before = now


def warm_up(target: Target) -> int:
    """Load it until it gets no faster, as compilers and caches warm up; how many it answered."""
    rates: list[float] = []
    answered = 0
    while len(rates) < WARM_UP_BURSTS and not is_warm(rates):
        result = target.send(Load(connections=MANY, seconds=1.0))
        rates.append(result.good / result.wall_s)
        answered += result.good
    return answered


def throughput(target: Target, scale: Scale) -> Figures:
    """Requests/s, latency and CPU per request, not streamed, at 1 and at 32 connections."""
    figures: Figures = {}
    cpu_at_start, answered = target.cpu_s(), warm_up(target)
    for connections in CONNECTIONS:
        cpu_before, busy_before = target.cpu_s(), processes.busy_s(target.gateway_core)
        front_before = target.front_cpu_s()
        load = Load(connections, scale.seconds, warm_ms=scale.warm_ms)
        result = target.send(load)
        cpu_s, front_s = target.cpu_s() - cpu_before, target.front_cpu_s() - front_before
        target.note(result, f"{connections} connections")
        answered += result.good
        if not result.window_good:
            continue
        latencies = [sample.latency_us / 1000 for sample in result.samples]
        figures[f"rps_{connections}"] = result.window_good / result.window_s
        figures[f"p50_ms_{connections}"] = percentile(latencies, 0.50)
        figures[f"p99_ms_{connections}"] = percentile(latencies, 0.99)
        if not target.roots:
            continue
        figures[f"request_front_cpu_us_{connections}"] = front_s / result.good * 1e6
        figures[f"request_cpu_us_{connections}"] = cpu_s / result.good * 1e6
        others_s = processes.busy_s(target.gateway_core) - busy_before - front_s
        figures[f"others_share_{connections}"] = max(0.0, others_s / result.wall_s)
    if target.roots and answered:
        settle(target)
        figures["request_whole_cpu_us"] = (target.cpu_s() - cpu_at_start) / answered * 1e6
    return figures


def stream(target: Target, scale: Scale, streams: int) -> Figures:
    """The first chunk's time, one stream at a time; CPU per chunk with `streams` open."""
    figures: Figures = {}
    one_by_one = Load(1, 60.0, repeat=scale.first_chunk_repeats, expect_events=3)
    result = target.send(one_by_one, "tokens=3 pace_us=2000")
    target.note(result, "first chunk")
    if result.samples:
        first = [sample.first_event_us / 1000 for sample in result.samples]
        figures["first_chunk_ms"] = percentile(first, 0.50)
        figures["first_chunk_p99_ms"] = percentile(first, 0.99)
    if target.roots and streams:
        cpu_before = target.front_cpu_s()
        result = _open_paced(target, scale, streams)
        cpu_s = target.front_cpu_s() - cpu_before
        target.note(result, f"{streams} paced streams")
        if result.window_events:
            figures["chunk_cpu_us"] = cpu_s / result.window_events * 1e6
    return figures


def _open_paced(target: Target, scale: Scale, streams: int) -> LoadResult:
    ideal_s = scale.paced_tokens * PACE_US / 1e6
    ramp_ms = min(2000, streams * 10)
    seconds = ramp_ms / 1000 + ideal_s + 5.0
    load = Load(streams, seconds, 1, ramp_ms=ramp_ms, expect_events=scale.paced_tokens)
    return target.send(load, f"tokens={scale.paced_tokens} pace_us={PACE_US}")


def paced(
    target: Target,
    scale: Scale,
    start: int,
    say: Callable[[str], None],
    renew: Callable[[], Target] | None,
) -> Figures:
    """The most concurrent streams, one chunk every 20 ms, that run without a stall.

    After a stall the gateway is started anew with `renew`: some never recover from one.
    """
    now = target

    def holds(streams: int) -> bool:
        nonlocal now
        result = _open_paced(now, scale, streams)
        run = PacedRun(streams, scale.paced_tokens, PACE_US, result.samples)
        worst = max((sample.worst_gap_us for sample in result.samples), default=0) / 1e6
        verdict = "hold" if run.holds else "stall"
        broken = streams - len(result.samples)
        why = f", {broken} not whole {result.first_error[:100]}" if broken else ""
        say(f"{target.name}: {streams} streams {verdict} (worst gap {worst:.2f} s{why})")
        if not run.holds and renew is not None:
            now = renew()
        return run.holds

    found = highest_holding(holds, start=start, levels=scale.levels, tries=scale.tries)
    return {"streams": float(found)}


def memory(target: Target, cpu_at_start: dict[int, float]) -> Figures:
    """Memory after the load: resident of the process that worked most, and of the whole tree
    with shared pages counted once."""
    family = processes.trees(target.roots)
    if not family:
        return {}

    def worked_s(pid: int) -> float:
        return processes.cpu_s(pid) - cpu_at_start.get(pid, 0.0)

    worker = max(target.fronts or family, key=worked_s)
    whole = sum(map(processes.pss_mb, family))
    return {"worker_rss_mb": processes.rss_mb(worker), "all_pss_mb": whole}
