"""Spans reach a collector in another process; one that hangs or is gone costs nobody anything."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatvault.lib.spans import CLIENT, Event, Span
from chatvault.lib.trace_context import TraceContext
from chatvault.telemetry.export import Destination, Exporter
from tests.fakes.collector import Collector


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with Collector(tmp_path_factory.mktemp("collector")) as started:
        yield started


def a_span(name: str = "s", **fields: Any) -> Span:
    values = {
        "kind": CLIENT, "trace_id": b"t" * 16, "span_id": b"s" * 8, "parent_id": b"p" * 8,
        "start_ns": 1_000, "end_ns": 2_000, "attributes": {},
    }  # fmt: skip
    return Span(name=name, **(values | fields))


def exporter(url: str, most_waiting: int = 1_000, **fields: Any) -> Exporter:
    made = Exporter(Destination(f"{url}/v1/traces", **fields), most_waiting=most_waiting)
    made.start()
    return made


def test_a_span_arrives_as_it_was(collector: Collector) -> None:
    sends = exporter(
        collector.url, headers=(("x-token", "t0k"),), resource={"service.name": "chatvault"}
    )
    attributes = {"text": "a", "yes": True, "count": 7, "part": 0.5, "list": ["x", "y"]}
    sends.offer(
        [
            a_span(
                "whole",
                attributes=attributes,
                is_error=True,
                events=(Event("e", 1_500, {"k": "v"}),),
                links=(TraceContext(b"l" * 16, b"m" * 8),),
            )
        ]
    )
    (span,) = collector.wait_for(lambda found: len(found) >= 1)
    sends.stop()
    assert span["attributes"] == attributes
    assert (span["trace"], span["parent"]) == ((b"t" * 16).hex(), (b"p" * 8).hex())
    assert (span["start"], span["end"], span["error"], span["said"]) == (1_000, 2_000, True, "")
    assert span["events"] == [["e", {"k": "v"}]]
    assert span["links"] == [(b"l" * 16).hex()]
    assert span["resource"] == {"service.name": "chatvault"}
    assert span["token"] == "t0k"
    assert sends.counts.sent == 1


def test_what_waits_is_sent_when_the_process_ends(collector: Collector) -> None:
    sends = exporter(collector.url)
    for number in range(700):
        sends.offer([a_span(f"last-{number}")])
    sends.stop()
    assert sends.counts.sent == 700
    names = {span["name"] for span in collector.spans()}
    assert {f"last-{number}" for number in range(700)} <= names


def test_a_collector_that_hangs_fills_the_queue_and_nothing_else(collector: Collector) -> None:
    sends = exporter(collector.url, most_waiting=100, timeout_s=0.3)
    collector.tell(signal.SIGSTOP)
    try:
        began = time.perf_counter()
        for _ in range(2_000):
            sends.offer([a_span("hung"), a_span("hung")])
        took_s = time.perf_counter() - began
        assert took_s / 2_000 < 50e-6
        assert sends.waiting <= 100
        assert sends.counts.dropped >= 4_000 - 2 * 100 - 512
    finally:
        collector.tell(signal.SIGCONT)
    collector.wait_for(lambda found: any(span["name"] == "hung" for span in found))
    sends.stop()


def test_a_collector_that_is_gone_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sends = exporter(f"http://127.0.0.1:{port}")
    sends.offer([a_span()])
    time.sleep(1.2)
    sends.offer([a_span()])
    sends.stop()
    told = [one.getMessage() for one in caplog.records if one.name == "chatvault.telemetry.export"]
    assert told == [
        "the collector takes no traces: The collector could not be reached "
        "(ConnectionRefusedError)."
    ]
    assert sends.counts.sent == 0
    assert sends.counts.failed >= 1


def test_a_collector_that_refuses_is_not_asked_again(collector: Collector, tmp_path: Path) -> None:
    made = Exporter(Destination(f"{collector.url}/elsewhere"), most_waiting=10)
    made.start()
    made.offer([a_span()])
    deadline = time.monotonic() + 3
    while not made.counts.failed and time.monotonic() < deadline:
        time.sleep(0.02)
    made.stop()
    assert (made.counts.failed, made.counts.sent) == (1, 0)


def test_secrets_of_the_destination_do_not_show() -> None:
    assert "t0k" not in repr(Destination("http://c/v1/traces", (("authorization", "t0k"),)))
