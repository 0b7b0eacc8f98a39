"""What callers give and get besides the request: deadlines, caps and counts."""

from __future__ import annotations

import msgspec


class Deadlines(msgspec.Struct, frozen=True):
    """Seconds. Each is kept on its own and none is renewed by a trickle of the phase before.

    `first_byte_s` runs from handing the request to the transport to the whole head of the answer;
    `idle_s` between two reads of the body, but not while the reader keeps us from reading;
    `total_s` over all of it, from `send` to the last byte.
    """

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


class Caps(msgspec.Struct, frozen=True):
    """The most that one answer may take, in bytes, and one origin, in connections."""

    header_bytes: int = 64 * 1024
    body_bytes: int = 64 * 1024 * 1024
    decompressed_bytes: int = 64 * 1024 * 1024
    waiting_bytes: int = 256 * 1024  # reading pauses above; one read (≤ 256 KiB) may overshoot
    open_per_origin: int = 2048


class PoolStats(msgspec.Struct, frozen=True):
    """`open` counts every connection, idle ones and those being made included."""

    open: int
    idle: int
