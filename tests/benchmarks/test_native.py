"""The real mock and the real load generator against each other."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import native, processes
from benchmarks.native import Load, LoadResult

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None,
    reason="the load generator is compiled by the machine's C compiler, and there is none",
)

Send = Callable[[Load, str], LoadResult]
CORE = min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return native.build(tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="module")
def send(programs: tuple[Path, Path]) -> Iterator[Send]:
    mock, load_program = programs
    with native.mock_provider(mock, core=CORE) as port:

        def send(load: Load, prompt: str) -> LoadResult:
            messages = [{"role": "user", "content": prompt}]
            stream = {"stream": True} if load.expect_events else {}
            body: dict[str, object] = {"model": "m", "messages": messages, **stream}
            request = native.http_request("/v1/chat/completions", {"x-more": "1"}, body)
            return native.run_load(load_program, core=CORE, port=port, request=request, load=load)

        yield send


def test_every_answer_is_counted_and_timed(send: Send) -> None:
    result = send(Load(connections=4, seconds=10.0, repeat=25), "Say hello")
    assert (result.good, result.errors, result.unfinished) == (100, 0, 0)
    assert len(result.samples) == 100
    assert all(sample.latency_us > 0 and sample.events == 0 for sample in result.samples)


def test_a_rate_is_kept_and_what_waited_counts_from_when_it_was_due(send: Send) -> None:
    result = send(Load(connections=4, seconds=0.5, rate=200), "Say hello")
    assert (result.errors, result.refusals) == (0, {})
    assert 90 <= result.good <= 101
    began = sorted(sample.began_us for sample in result.samples)
    assert began[-1] >= 450_000
    slow = send(Load(1, 0.5, rate=100, expect_events=4), "tokens=4 pace_us=10000")
    latencies = [sample.latency_us for sample in slow.samples]
    assert latencies[-1] > latencies[0] + 150_000  # each next one is 20 ms later still


def test_a_paced_stream_keeps_its_pace_and_every_event_is_seen(send: Send) -> None:
    load = Load(connections=3, seconds=10.0, repeat=1, expect_events=10)
    result = send(load, "tokens=10 pace_us=20000")
    assert (result.good, result.errors) == (3, 0)
    for sample in result.samples:
        assert sample.events == 12  # the role, ten tokens, the finish reason
        assert sample.span_us >= 9 * 20_000 - 2_000
        assert sample.worst_gap_us >= 15_000


def test_the_worst_gap_is_the_longest_wait(send: Send) -> None:
    load = Load(connections=1, seconds=10.0, repeat=1, expect_events=2)
    [sample] = send(load, "tokens=2 pace_us=150000").samples
    assert 145_000 <= sample.worst_gap_us < 2_000_000


def test_a_stream_with_too_few_events_is_an_error(send: Send) -> None:
    load = Load(connections=1, seconds=10.0, repeat=1, expect_events=50)
    result = send(load, "tokens=10 pace_us=0")
    assert (result.good, result.errors) == (0, 1)
    assert result.first_error.startswith("broken stream (status 200)")


def test_streams_still_open_at_the_end_are_unfinished(send: Send) -> None:
    load = Load(connections=2, seconds=0.3, repeat=1, expect_events=100)
    result = send(load, "tokens=100 pace_us=20000")
    assert (result.good, result.errors, result.unfinished) == (0, 0, 2)


def test_nobody_listening_is_an_error_and_ends(programs: tuple[Path, Path]) -> None:
    request = native.http_request("/", {}, {})
    load = Load(connections=2, seconds=5.0)
    result = native.run_load(
        programs[1], core=CORE, port=processes.free_port(), request=request, load=load
    )
    assert (result.good, result.errors) == (0, 2)
    assert result.first_error.startswith("cannot connect")
