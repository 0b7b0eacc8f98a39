"""The one source of time, so that tests can set it and durations never run backwards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

NANO = 1_000_000_000
TOLERATED_NS = 250_000_000
SHIFTS = "CHATVAULT_CLOCK_SHIFTS"
_LOOK_EVERY_S = 0.02

monotonic = time.monotonic
monotonic_ns = time.monotonic_ns


class ShiftedClock:
    """A wall clock that is wrong by as many seconds as `<folder>/<pid>` says, or `<folder>/all`.

    Only the chaos suite names such a folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._look_at = 0.0
        self._shift_ns = 0

    def __call__(self) -> int:
        now = monotonic()
        if now >= self._look_at:
            self._shift_ns = self._read()
            self._look_at = now + _LOOK_EVERY_S
        return time.time_ns() + self._shift_ns

    def _read(self) -> int:
        for name in (str(os.getpid()), "all"):
            try:
                return int(float((self._folder / name).read_text(encoding="ascii")) * NANO)
            except (OSError, ValueError):
                continue
        return 0


def _wall_clock(folder: str) -> Callable[[], int]:
    return ShiftedClock(Path(folder)) if folder else time.time_ns


class _Process:
    """One instance, below: how far this process's wall clock is corrected."""

    offset_ns = 0


_process = _Process()
_read_ns = _wall_clock(os.environ.get(SHIFTS, ""))


def wall_ns() -> int:
    """Nanoseconds since the epoch, by the clock that all gateways follow."""
    return _read_ns() + _process.offset_ns


def follow(other_ns: int) -> bool:
    """Follow another clock than the machine's from now on, in this process; other_ns is what it
    says now. Small differences are let be. True: there was a large one."""
    difference_ns = other_ns - wall_ns()
    is_off = abs(difference_ns) > TOLERATED_NS
    if is_off:
        _process.offset_ns += difference_ns
    return is_off


def offset_ns() -> int:
    """How far the clock that is followed is ahead of the machine's."""
    return _process.offset_ns


def now() -> datetime:
    """The current instant, aware, in UTC."""
    return datetime.fromtimestamp(wall_ns() / NANO, UTC)


def wall_s() -> float:
    """Seconds since the epoch; for deadlines use `monotonic`."""
    return wall_ns() / NANO
