"""Processes that report figures, as real processes that can be killed; and text read back."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from chatvault.lib.metrics.families import Family, Figures
from chatvault.lib.metrics.reporter import Reporter

DONE = Family("done_total", "counter", "Things done.", ("kind",))
RUNNING = Family("running", "gauge", "Things that run.")
OLDEST = Family("oldest", "gauge", "The oldest.", joined="min")
TOOK = Family("took_seconds", "histogram", "How long.", (), (0.1, 1.0))


def figures(done: int, running: int = 0, oldest: int = 0) -> Callable[[], Figures]:
    def read() -> Figures:
        yield DONE, {("a",): (done,)}
        yield RUNNING, {(): (running,)}
        yield OLDEST, {(): (oldest,)}
        yield TOOK, {(): (done, 0, 0, done * 0.05)}

    return read


def fork(work: Callable[[], None]) -> int:
    """A child that works and then waits to be killed; returns when the work is done."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(write_end, b"1")
            time.sleep(60)
        finally:
            os._exit(0)
    os.close(write_end)
    assert os.read(read_end, 1) == b"1"
    os.close(read_end)
    return pid


def report(folder: Path, read: Callable[[], Figures], process: str = "child") -> int:
    """A process that reports once and lives on."""

    def work() -> None:
        reporter = Reporter(folder, process)
        reporter.add(read)
        reporter.start()
        reporter.exposition()  # writes

    return fork(work)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def samples(text: bytes) -> dict[str, float]:
    """Every sample by its name and labels as written."""
    lines = [line for line in text.decode().splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
