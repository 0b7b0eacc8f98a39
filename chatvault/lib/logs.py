"""Log lines: as text for people, or as JSON for machines, and in both without secrets.

A line holds what its formatter allows and nothing else: the message and the exception without what
looks like a secret or quotes a value, and the fields of `FIELDS` that the caller gave as `extra`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import msgspec

from chatvault.lib import correlation
from chatvault.lib.redact import describe, mask

FIELDS: Final = (
    *("request_id", "trace_id", "operation", "alias", "deployment", "client_id", "key_id"),
    *("status", "code", "latency_ms", "first_token_ms", "input_tokens", "output_tokens"),
)
MOST_FRAMES: Final = 20
MOST_CAUSES: Final = 4
MOST_CHARACTERS: Final = 4_000
_MESSAGE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_encode: Final = msgspec.json.Encoder().encode


class _Process:
    """One instance, below: what this process is."""

    role = "manage"


_process = _Process()


def become(role: str) -> None:
    """Say from now on that this process is the gateway, ingest, … and log what nobody catches."""
    _process.role = role
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def role() -> str:
    return _process.role


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, role, pid, the fields, the error."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": instant(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": message_of(record),
            "role": _process.role,
            "pid": record.process,
        }
        line |= _fields(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _told(record.exc_info[1])
        return _encode(line).decode()


class TextFormatter(logging.Formatter):
    """Time, level, logger and message, then the fields; an exception follows with its frames."""

    def __init__(self) -> None:
        super().__init__(_MESSAGE)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return datetime.fromtimestamp(record.created).astimezone().isoformat(" ", "milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        said = message_of(record)
        for name, value in _fields(record).items():
            said += f" {name}={value}"
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {said}"
        if record.exc_info and record.exc_info[1] is not None:
            line += "\n" + _as_text(record.exc_info[1])
        return line


def message_of(record: logging.LogRecord) -> str:
    return mask(record.getMessage()[:MOST_CHARACTERS])


def instant(seconds: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What the caller gave, and what is known of the work that is going on."""
    given = ((name, getattr(record, name, None)) for name in FIELDS)
    found = {name: _plain(value) for name, value in given if value is not None}
    if cause := correlation.current():
        found.setdefault("request_id", cause)
    if "trace_id" not in found and (trace := sys.modules.get("opentelemetry.trace")):
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            found["trace_id"] = f"{context.trace_id:032x}"
    return found


def _plain(value: object) -> object:
    if isinstance(value, bytes):  # an id of ours: 16 bytes of a request, 16 of a trace
        return value.hex()
    return value if isinstance(value, int | float | bool) else mask(str(value)[:200])


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what led to it, the latest first."""
    found = [error]
    while len(found) < MOST_CAUSES:
        cause = found[-1].__cause__
        if cause is None and not found[-1].__suppress_context__:
            cause = found[-1].__context__
        if cause is None or cause in found:
            break
        found.append(cause)
    return found


def _told(error: BaseException) -> list[dict[str, Any]]:
    return [
        {
            "class": f"{type(one).__module__}.{type(one).__qualname__}",
            "detail": describe(one),
            "frames": [f"{f.filename}:{f.lineno} {f.name}" for f in _frames(one.__traceback__)],
        }
        for one in _chain(error)
    ]


def _as_text(error: BaseException) -> str:
    parts = []
    for number, one in enumerate(_chain(error)):
        lines = [
            f"  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
            for frame in _frames(one.__traceback__)
        ]
        told = describe(one) or "(what it says is left out)"
        begin = "because of " if number else ""
        parts.append("\n".join([f"{begin}{type(one).__qualname__}: {told}", *lines]))
    return "\n".join(parts)


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """Files, lines and functions, never values; the innermost `MOST_FRAMES`."""
    return list(traceback.extract_tb(trace))[-MOST_FRAMES:]


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("chatvault").critical("nobody caught", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
        _log_uncaught(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)


def line_of(text: str, *, role: str, logger: str = "chatvault", seconds: float) -> str:
    """A line of JSON for what is no log record, such as what a library prints."""
    line = {
        "time": instant(seconds),
        "level": "info",
        "logger": logger,
        "event": text,
        "role": role,
        "pid": os.getpid(),
    }
    return _encode(line).decode()
