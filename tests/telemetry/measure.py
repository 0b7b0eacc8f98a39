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
    finished = plane.tracer.finished
    plane.tracer.finished = lambda trace, meter: meters.append((trace, meter))  # type: ignore[method-assign]
    request()
    gateway.wait_for(lambda: bool(meters))
    plane.tracer.finished = finished  # type: ignore[method-assign]
    trace, meter = meters[0]
    candidate = meter.candidate

    def whole() -> None:
        begun = tracer.begin(HEADERS)
        assert begun is not None
        begun.attempt(candidate, None)
        begun.answer(b'{"model":"m","choices":[{"finish_reason":"stop"}]}', [])
        begun.pack()
        tracer.finished(begun, meter)

    print(f"sampled, all of it: {(nanoseconds(whole, 5_000) - empty) / 1000:.1f} µs")
    assert trace is not None


def latencies(request: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(A_ROUND):
        began = time.perf_counter()
        request()
        found.append((time.perf_counter() - began) * 1000)
    return found


def told(name: str, found: list[float]) -> tuple[float, float]:
    ordered = sorted(found)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(f"{name:<32} p50 {p50:.2f} ms, p99 {p99:.2f} ms")
    return p50, p99


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
            runs: dict[str, list[float]] = {"off": [], "on": [], "on, collector stopped": []}
            for _ in range(ROUNDS):
                gateway.plane.watch(None, 0.0)
                runs["off"] += latencies(request)
                gateway.plane.watch(Tracer(exporter.offer), 0.0)
                runs["on"] += latencies(request)
                collector.tell(signal.SIGSTOP)
                runs["on, collector stopped"] += latencies(request)
                collector.tell(signal.SIGCONT)
            for label, found in runs.items():
                told(label, found)
            exporter.stop()
            print(exporter.counts)
        gateway.close()
    server.stop()
    upstream.stop()


if __name__ == "__main__":
    main()
