"""What the bench asks of every gateway."""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import processes

ALIAS = "gpt-4o-mini"
HOME = Path(__file__).parents[1]
ENV = HOME / ".env"


def clean_environment(**more: str) -> dict[str, str]:
    """The machine's environment without anybody's settings: only what programs need to run."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | more


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers: where, and what a request to it looks like."""

    process: subprocess.Popen[bytes]
    port: int
    ready_s: float
    ready_figure: str = "ready_s"
    path: str = "/v1/chat/completions"
    model: str = ALIAS
    headers: Mapping[str, str] = field(default_factory=dict)
    servers: Mapping[str, int] = field(default_factory=dict)
    """Other trees of processes that belong to it, by what they are."""
    fronts: tuple[int, ...] = ()
    """Those of its processes that answer requests, where not all of it is on the gateway core."""


class Gateway(ABC):
    """One gateway. `start` may be called again after `stop`."""

    name: str
    title: str
    likely_streams: int  # where the search for stall-free streams begins
    cpu_streams: int  # streams open while processor time per chunk is measured

    def __init__(self, mock_port: int, core: int, other_core: int) -> None:
        self.mock = f"http://127.0.0.1:{mock_port}/v1"
        self.mock_port = mock_port
        self.core = core
        self.other_core = other_core  # of the mock and the load

    @abstractmethod
    def prepare(self) -> None:
        """Install it into an environment of its own, pinned; quick when that is done already."""

    @abstractmethod
    def start(self, log: Path) -> Running:
        """Start it on its core; returns when it is ready. Its output goes to `log`."""

    def stop(self, running: Running) -> None:
        processes.stop(running.process)

    def close(self) -> None:  # noqa: B027 - most leave nothing behind
        """After the last stop."""

    @abstractmethod
    def version(self) -> str: ...
