"""What one ChatVault carries on two cores, the load and the provider included: `make capacity`.

One core has everything that `make run` starts, the other the provider and the load. Writes the
figures into docs/capacity-figures.md and exits with 1 when a promise does not hold.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import guide, native, processes
from benchmarks.figures import percentile
from benchmarks.gateways.chatvault import ChatVault
from benchmarks.gateways.contract import ENV, Running
from benchmarks.native import Load, LoadResult

STREAMS, REQUESTS = 2000, 1000
PACE_US, TOKENS = 100_000, 200
STALL_US = 1_000_000
SETTLE_S = 3.0
ROOM, ROOM_TAKES_MS = 200, 1000
PAGE = Path(__file__).parents[1] / "docs" / "capacity-figures.md"


@dataclass
class Findings:
    """Figures by part, and what did not hold."""

    parts: dict[str, dict[str, float]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def keep(self, part: str, figures: Mapping[str, float]) -> None:
        self.parts[part] = {name: round(value, 2) for name, value in figures.items()}
        print(f"capacity: {part}: {json.dumps(self.parts[part])}", flush=True)

    def require(self, part: str, name: str, *, most: float) -> None:
        if not self.parts[part][name] <= most:
            self.broken.append(f"{part}: {name} is {self.parts[part][name]}, at most {most}")

    def require_least(self, part: str, name: str, *, least: float) -> None:
        if not self.parts[part][name] >= least:
            self.broken.append(f"{part}: {name} is {self.parts[part][name]}, at least {least}")


class SmallRoom(ChatVault):
    """The same with little room, so that five times as much fits the load's core."""

    name = "chatvault-small-room"

    def _environment(self, port: int) -> dict[str, str]:
        return super()._environment(port) | {"CHATVAULT_GATEWAY_MAX_RUNNING": str(ROOM)}


@dataclass(frozen=True)
class Stand:
    """A running ChatVault and the way to load it."""

    running: Running
    program: Path
    load_core: int
    gateway_core: int

    def whole(self) -> bytes:
        return self._request({"messages": [{"role": "user", "content": "Say hello."}]})

    def stream(self, tokens: int, pace_us: int) -> bytes:
        prompt = f"tokens={tokens} pace_us={pace_us}"
        return self._request({"messages": [{"role": "user", "content": prompt}], "stream": True})

    def _request(self, body: dict[str, object]) -> bytes:
        running = self.running
        return native.http_request(running.path, running.headers, {"model": running.model, **body})

    def load(self, request: bytes, load: Load) -> LoadResult:
        result = native.run_load(
            self.program, core=self.load_core, port=self.running.port, request=request, load=load
        )
        if result.first_error:
            print(f"capacity: first error: {result.first_error[:200]}", flush=True)
        return result

    def cpu_s(self) -> float:
        return processes.tree_cpu_s(self.running.process.pid)

    def rss_mb(self) -> float:
        return max(map(processes.rss_mb, processes.tree(self.running.process.pid)))


@contextmanager
def stand(kind: type[ChatVault]) -> Iterator[Stand]:
    gateway_core, mock_core, load_core = processes.cores()
    mock, load = native.build(ENV / "native")
    with native.mock_provider(mock, core=mock_core) as port:
        gateway = kind(port, gateway_core, load_core)
        gateway.prepare()
        running = gateway.start(ENV / f"{gateway.name}.log")
        on = Stand(running, load, load_core, gateway_core)
        try:
            time.sleep(SETTLE_S)  # the admin's pages are loaded after the first answer
            on.load(on.whole(), Load(32, 2.0))
            yield on
        finally:
            gateway.stop(running)
            gateway.close()


def measure_streams(on: Stand, findings: Findings) -> None:
    """Two thousand streams at once, ten chunks a second each."""
    before, began = on.cpu_s(), time.monotonic()
    result = on.load(on.stream(TOKENS, PACE_US), _streams())
    took_s = time.monotonic() - began
    findings.keep("streams", _stream_figures(result, on.cpu_s() - before, took_s, on.rss_mb()))
    _require_whole("streams", findings)


def measure_requests(on: Stand, findings: Findings) -> None:
    """A thousand requests at once, each followed by the next."""
    before = on.cpu_s()
    result = on.load(on.whole(), Load(REQUESTS, 12.0, warm_ms=2000, ramp_ms=1000))
    figures = _request_figures(result)
    figures["cpu_us_a_request"] = (on.cpu_s() - before) * 1e6 / max(result.good, 1)
    findings.keep("requests", figures | {"rss_mb": on.rss_mb()})
    findings.require("requests", "errors", most=0)


def measure_both(on: Stand, findings: Findings) -> None:
    """Both at the same time."""
    with ThreadPoolExecutor(1) as other:
        began, before = time.monotonic(), on.cpu_s()
        streams = other.submit(on.load, on.stream(TOKENS, PACE_US), _streams())
        time.sleep(7)  # all streams are open
        requests = on.load(on.whole(), Load(REQUESTS, 10.0, warm_ms=1000, ramp_ms=1000))
        result = streams.result()
        took_s, cpu_s = time.monotonic() - began, on.cpu_s() - before
    findings.keep("both: streams", _stream_figures(result, cpu_s, took_s, on.rss_mb()))
    findings.keep("both: requests", _request_figures(requests))
    _require_whole("both: streams", findings)
    findings.require("both: requests", "errors", most=0)


def measure_overload(findings: Findings) -> None:
    """Five times of what there is room for, at a steady rate that waits for nobody."""
    capacity = ROOM / (ROOM_TAKES_MS / 1000)
    with stand(SmallRoom) as on:
        request = on.stream(2, ROOM_TAKES_MS * 1000)
        for part, times in (("peak", 0.9), ("overload", 5.0)):
            load = Load(
                1500, 12.0, warm_ms=2000, ramp_ms=500, expect_events=1, rate=capacity * times
            )
            result = on.load(request, load)
            spans = [sample.latency_us / 1000 for sample in result.samples] or [0.0]
            findings.keep(
                part,
                {
                    "offered_a_second": capacity * times,
                    "good_a_second": result.window_good / result.window_s,
                    "refused_503": result.refusals.get("503", 0),
                    "other_errors": result.errors - sum(result.refusals.values()),
                    "p50_ms": percentile(spans, 0.5),
                    "p99_ms": percentile(spans, 0.99),
                },
            )
    peak = findings.parts["peak"]
    findings.require_least("overload", "good_a_second", least=0.9 * peak["good_a_second"])
    findings.require("overload", "p99_ms", most=2 * peak["p99_ms"])
    findings.require("overload", "other_errors", most=0)


def _streams() -> Load:
    return Load(STREAMS, 90.0, repeat=1, ramp_ms=5000, expect_events=TOKENS)


def _stream_figures(
    result: LoadResult, cpu_s: float, took_s: float, rss_mb: float
) -> dict[str, float]:
    late_ms = [max(0, sample.worst_gap_us - PACE_US) / 1000 for sample in result.samples] or [0.0]
    chunks = sum(sample.events for sample in result.samples)
    return {
        "streams": STREAMS,
        "whole": result.good,
        "errors": result.errors + result.unfinished,
        "stalls": sum(sample.worst_gap_us >= STALL_US for sample in result.samples),
        "worst_delay_p50_ms": percentile(late_ms, 0.5),
        "worst_delay_p99_ms": percentile(late_ms, 0.99),
        "first_chunk_p99_ms": percentile(
            [sample.first_event_us / 1000 for sample in result.samples] or [0.0], 0.99
        ),
        "cpu_share_of_a_core": cpu_s / took_s,
        "cpu_us_a_chunk": cpu_s * 1e6 / max(chunks, 1),
        "rss_mb": rss_mb,
    }


def _request_figures(result: LoadResult) -> dict[str, float]:
    took_ms = [sample.latency_us / 1000 for sample in result.samples] or [0.0]
    return {
        "at_once": REQUESTS,
        "good": result.good,
        "errors": result.errors,
        "a_second": result.window_good / result.window_s,
        "p50_ms": percentile(took_ms, 0.5),
        "p99_ms": percentile(took_ms, 0.99),
    }


def _require_whole(part: str, findings: Findings) -> None:
    findings.require(part, "errors", most=0)
    findings.require(part, "stalls", most=0)


def page(findings: Findings) -> str:
    lines = [
        "# Capacity: figures of one run",
        "",
        "Written by `make capacity`: ChatVault as `make run` starts it on one core; the provider",
        "and the load generator share the other. The promises are in `benchmarks/capacity.py`.",
        "",
    ]
    for part, figures in findings.parts.items():
        lines += [f"## {part}", "", "| Figure | Value |", "|---|---|"]
        lines += [f"| {name.replace('_', ' ')} | {value:,g} |" for name, value in figures.items()]
        lines.append("")
    verdict = "; ".join(findings.broken) or "every promise held"
    return "\n".join([*lines, f"Verdict: {verdict}.", ""])


PARTS = {"streams": measure_streams, "requests": measure_requests, "both": measure_both}


def main() -> int:
    """Without words all parts, and only then the page."""
    chosen = sys.argv[1:] or [*PARTS, "overload"]
    processes.allow_many_sockets()
    findings = Findings()
    if set(chosen) & PARTS.keys():
        with stand(ChatVault) as on:
            for part, measure in PARTS.items():
                if part in chosen:
                    measure(on, findings)
    if "overload" in chosen:
        measure_overload(findings)
    if len(chosen) > len(PARTS):
        PAGE.write_text(page(findings), encoding="utf-8")
        guide.keep("node", {"parts": findings.parts})
    for line in findings.broken:
        print(f"capacity: does not hold: {line}")
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main())
