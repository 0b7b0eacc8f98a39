"""A finished span, as plain data, on its way from where it was made to the exporter's thread."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from chatvault.lib.trace_context import TraceContext

INTERNAL: Final = 1  # the numbers are OTLP's (opentelemetry/proto/trace/v1/trace.proto)
SERVER: Final = 2
CLIENT: Final = 3
PRODUCER: Final = 4
CONSUMER: Final = 5

Kind = Literal[1, 2, 3, 4, 5]
Value = str | bool | int | float | list[str]


class Event(msgspec.Struct, frozen=True):
    name: str
    at_ns: int
    attributes: dict[str, Value] = {}


class Span(msgspec.Struct):
    """Times are nanoseconds since the epoch. No content, no keys, no secrets: whoever makes one
    gives it attributes by name."""

    name: str
    kind: Kind
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start_ns: int
    end_ns: int
    attributes: dict[str, Value]
    state: str = ""
    is_error: bool = False
    events: tuple[Event, ...] = ()
    links: tuple[TraceContext, ...] = ()
    scope: str = "chatvault"
