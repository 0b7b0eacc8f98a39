"""Who runs a job, told so that others can see whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def identity() -> str:
    """This process: host, process namespace, process id and when it started."""
    return f"{_place()}/{os.getpid()}/{_started(os.getpid())}"


def is_known_dead(worker: str) -> bool:
    """Certainly gone. False also for processes that cannot be seen from here."""
    parts = worker.rsplit("/", 2)
    if len(parts) != 3 or parts[0] != _place() or not parts[1].isdigit():
        return False
    return _started(int(parts[1])) != parts[2]


def _place() -> str:
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # not Linux
        namespace = ""
    return f"{socket.gethostname()[:100]}/{namespace}"


def _started(pid: int) -> str:
    """Clock ticks after boot; a number that is used again does not look like its first owner."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
    except OSError:
        return _alive_elsewhere(pid)
    fields = after_name.split()
    return "" if fields[0] == "Z" else fields[19]


def _alive_elsewhere(pid: int) -> str:
    """Without /proc only that the process is there can be told."""
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:  # somebody else's, so it is there
        pass
    return "alive"
