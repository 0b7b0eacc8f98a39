"""What traces cost: `python -m tests.telemetry.measure`. Figures for docs/tracing-and-logs.md.

The first part counts the steps that tracing adds to a request, without a network. The second asks
the real gateway over loopback, in turns: traces off, on, and on with a collector that is stopped.
"""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")

import django

django.setup()

from apps.gateway.tracing import Tracer  # noqa: E402
from chatvault.telemetry.export import Destination, Exporter  # noqa: E402
from tests.fakes.collector import Collector  # noqa: E402
from tests.fakes.http import HTTP  # noqa: E402
from tests.fakes.upstream import FakeUpstream  # noqa: E402
from tests.gateway.testbed import Gateway, Server  # noqa: E402

ROUNDS, A_ROUND = 12, 250
Runs = tuple[list[float], list[float]]
HEADERS = [(b"host", b"h"), (b"authorization", b"Bearer x"), (b"content-type", b"json")] * 4


def nanoseconds(step: Callable[[], object], times: int = 100_000) -> float:
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter_ns()
        for _ in range(times):
            step()
        best = min(best, (time.perf_counter_ns() - began) / times)
    return best


def steps(gateway: Gateway, request: Callable[[], object]) -> None:
    plane = gateway.plane
    empty = nanoseconds(lambda: None)
    print(f"off, one check: {nanoseconds(lambda: plane.is_watched) - empty:.0f} ns")
    out = Tracer(lambda spans: None, ratio=0.0)
    print(f"sampled out: {nanoseconds(lambda: out.begin(HEADERS)) - empty:.0f} ns")
    kept = []
    plane.watch(Tracer(kept.append), 0.0)
    request()
    gateway.wait_for(lambda: bool(kept))
    tracer = Tracer(lambda spans: None)
    meters = []
    plane.tracer = Tracer(lambda spans: None)
    plane.tracer.finished = lambda trace, meter: meters.append(meter)
    request()
    gateway.wait_for(lambda: bool(meters))
    (meter,) = meters
    candidate = meter.candidate

    def whole() -> None:
        begun = tracer.begin(HEADERS)
        assert begun is not None
        begun.attempt(candidate, None)
        begun.answer(b'{"model":"m","choices":[{"finish_reason":"stop"}]}', [])
        begun.pack()
        tracer.finished(begun, meter)

    print(f"sampled, all of it: {(nanoseconds(whole, 5_000) - empty) / 1000:.1f} µs")


def pairs(request: Callable[[], object], gateway: Gateway, tracer: Tracer, runs: Runs) -> None:
    """Milliseconds without and with traces in turns, so that both meet the same weather."""
    for _ in range(A_ROUND):
        for found, chosen in zip(runs, (None, tracer), strict=True):
            gateway.plane.watch(chosen, 0.0)
            began = time.perf_counter()
            request()
            found.append((time.perf_counter() - began) * 1000)


def told(name: str, runs: Runs) -> None:
    figures = []
    for label, found in zip(("off", "on"), runs, strict=True):
        ordered = sorted(found)
        figures.append((statistics.median(ordered), ordered[int(len(ordered) * 0.99)]))
        print(
            f"{name}, traces {label:<3}: p50 {figures[-1][0]:.2f} ms, p99 {figures[-1][1]:.2f} ms"
        )
    (p50_off, p99_off), (p50_on, p99_on) = figures
    print(f"{name}, added: p50 {p50_on - p50_off:+.2f} ms, p99 {p99_on - p99_off:+.2f} ms")


def main() -> None:
    upstream = FakeUpstream().start()
    server = Server().start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gateway = Gateway(server, folder)
        gateway.add_model("m", upstream.openai_url)
        key = gateway.add_client()

        def request() -> None:
            answer = HTTP.post(
                f"{gateway.openai_url}/chat/completions",
                json={"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
                headers={"authorization": f"Bearer {key}"},
            )
            assert answer.status_code == 200

        request()
        steps(gateway, request)
        with Collector(folder) as collector:
            exporter = Exporter(
                Destination(f"{collector.url}/v1/traces", timeout_s=1.0), most_waiting=512
            )
            exporter.start()
            tracer = Tracer(exporter.offer)
            running: Runs = ([], [])
            stopped: Runs = ([], [])
            for _ in range(ROUNDS):
                pairs(request, gateway, tracer, running)
                collector.tell(signal.SIGSTOP)
                pairs(request, gateway, tracer, stopped)
                collector.tell(signal.SIGCONT)
            told("collector runs", running)
            told("collector stopped", stopped)
            exporter.stop()
            print(exporter.counts)
        gateway.close()
    server.stop()
    upstream.stop()


if __name__ == "__main__":
    main()
