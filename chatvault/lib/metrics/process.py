"""What a process uses of the machine, by its name in the supervisor. Read from /proc."""

from __future__ import annotations

import os
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chatvault.lib.metrics.families import Family, Figures, Number

_LABELS: Final = ("process",)


def _family(name: str, text: str, kind: str = "gauge") -> Family:
    return Family(f"chatvault_process_{name}", kind, text, _LABELS)  # type: ignore[arg-type]


CPU: Final = _family("cpu_seconds_total", "Processor time used, user and system.", "counter")
RESIDENT: Final = _family("resident_memory_bytes", "Memory in use (resident set).")
OPEN_FDS: Final = _family("open_fds", "Open file descriptors.")
MAX_FDS: Final = _family("max_fds", "File descriptors that may be open.")
THREADS: Final = _family("threads", "Threads.")
STARTS: Final = _family("starts_total", "Times that a process of this name was started.", "counter")

FAMILIES: Final = (CPU, RESIDENT, OPEN_FDS, MAX_FDS, THREADS, STARTS)


def source(process: str) -> Callable[[], Figures]:
    """The figures of the calling process."""
    values = (process,)
    page = os.sysconf("SC_PAGE_SIZE")

    def one(family: Family, number: Number) -> tuple[Family, dict[tuple[str, ...], list[Number]]]:
        return family, {values: [number]}

    def read() -> Figures:
        times = os.times()
        yield one(CPU, times.user + times.system)
        yield one(STARTS, 1)
        yield one(THREADS, threading.active_count())
        yield one(MAX_FDS, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        if sys.platform == "linux":
            resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            yield one(RESIDENT, resident * page)
            yield one(OPEN_FDS, len(os.listdir("/proc/self/fd")))

    return read
