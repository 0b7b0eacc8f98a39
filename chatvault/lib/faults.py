"""Exceptions that nobody expected, counted in this process by class and place until they are
taken. A handler of the logging module finds them: whoever logs an exception has noted it."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Final

import msgspec

from chatvault.lib import clock
from chatvault.lib.redact import describe

MOST_KINDS: Final = 24
_OURS: Final = ("apps.", "chatvault.")


class Fault(msgspec.Struct):
    """One class of exception from one place. Nothing of it is a value that somebody sent."""

    name: str
    place: str  # module and function
    detail: str
    count: int
    last_ms: int
    request_id: bytes = b""


class Faults:
    """A bounded number of kinds; what exceeds it is counted as one. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Fault] = {}

    def note(self, error: BaseException, request_id: bytes = b"") -> None:
        place, line = place_of(error.__traceback__)
        name = type(error).__qualname__[:100]
        said = describe(error)
        detail = f"{said} (line {line})".strip() if line else said
        now_ms = clock.wall_ns() // 1_000_000
        self.add(Fault(name, place, detail[-200:], 1, now_ms, request_id))

    def add(self, fault: Fault) -> None:
        """Count it; also those that were taken and could not be kept."""
        with self._lock:
            key = (fault.name, fault.place)
            if key not in self._found and len(self._found) >= MOST_KINDS:
                key = ("(others)", "")
                fault = Fault(*key, "", fault.count, fault.last_ms)
            known = self._found.get(key)
            if known is not None:
                fault.count += known.count
            self._found[key] = fault

    def take(self) -> list[Fault]:
        """All that was noted since the last time."""
        with self._lock:
            found, self._found = self._found, {}
        return list(found.values())


faults: Final = Faults()


class FaultHandler(logging.Handler):
    """Notes the exceptions that are logged as errors."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], BaseException):
            faults.note(record.exc_info[1], getattr(record, "request_id", b""))


def place_of(trace: TracebackType | None) -> tuple[str, int]:
    """Module, function and line: the innermost of our own code, else the innermost."""
    place, line, is_ours = "", 0, False
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        own = module.startswith(_OURS)
        if own or not is_ours:
            place, line = f"{module}.{trace.tb_frame.f_code.co_name}"[:200], trace.tb_lineno
            is_ours = own
        trace = trace.tb_next
    return place, line
