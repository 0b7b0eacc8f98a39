"""W3C Trace Context (w3.org/TR/trace-context): how a trace goes on from one process to the next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

PACKED_BYTES: Final = 25
_MOST_STATE: Final = 512
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_STATE: Final = re.compile(r"[\x20-\x7e]*")


class TraceContext(msgspec.Struct, frozen=True):
    """A span of somebody else's, or of another process of ours."""

    trace_id: bytes  # 16 bytes
    span_id: bytes  # 8 bytes
    is_sampled: bool = True
    state: str = ""  # tracestate, handed on as it came

    def pack(self) -> bytes:
        """Both ids and the flags in 25 bytes, without the state."""
        return self.trace_id + self.span_id + (b"\1" if self.is_sampled else b"\0")

    def header(self) -> str:
        """`traceparent`."""
        return traceparent(self.trace_id, self.span_id, is_sampled=self.is_sampled)


def traceparent(trace_id: bytes, span_id: bytes, *, is_sampled: bool = True) -> str:
    return f"00-{trace_id.hex()}-{span_id.hex()}-{'01' if is_sampled else '00'}"


def parse(header: bytes, state: bytes = b"") -> TraceContext | None:
    """None for what is no valid `traceparent`; a `tracestate` that is not valid is left out."""
    match = _TRACEPARENT.fullmatch(header.strip())
    if match is None:
        return None
    if header.startswith(b"00") and len(header.strip()) != 55:
        return None
    trace_id, span_id = bytes.fromhex(match[1].decode()), bytes.fromhex(match[2].decode())
    if not any(trace_id) or not any(span_id):
        return None
    text = state.decode("latin-1").strip()
    kept = text if len(text) <= _MOST_STATE and _STATE.fullmatch(text) else ""
    return TraceContext(trace_id, span_id, bool(int(match[3], 16) & 1), kept)


def unpack(packed: bytes) -> TraceContext | None:
    """What `pack` made; None for anything else."""
    if len(packed) != PACKED_BYTES:
        return None
    return TraceContext(packed[:16], packed[16:24], bool(packed[24] & 1))


@contextmanager
def within(packed: bytes) -> Iterator[None]:
    """What OpenTelemetry's instrumentations tell of inside belongs to this trace."""
    found = unpack(packed)
    if found is None:
        yield
        return
    from opentelemetry import context, trace  # in processes that have them anyway

    parent = trace.SpanContext(
        int.from_bytes(found.trace_id, "big"),
        int.from_bytes(found.span_id, "big"),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(found.is_sampled)),
    )
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
    try:
        yield
    finally:
        context.detach(token)
