"""Request ids: UUID version 7 (RFC 9562 §5.7), made by us and never taken from a client."""

from __future__ import annotations

import os
import uuid

from chatvault.lib import clock


class _Entropy:
    """Random bytes fetched a page at a time: one system call serves 409 ids."""

    __slots__ = ("_at", "_page")

    def __init__(self) -> None:
        self._page = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._page):
            self._page = os.urandom(4096)
            self._at = 0
        self._at += size
        return self._page[self._at - size : self._at]


_entropy = _Entropy()
os.register_at_fork(after_in_child=_entropy.__init__)  # type: ignore[misc]


def random_bytes(size: int) -> bytes:
    """For ids that nobody may guess the next of; cheaper than a system call each."""
    return _entropy.take(size)


def uuid7() -> uuid.UUID:
    """A time-ordered id; its first 48 bits are milliseconds since the epoch."""
    return uuid.UUID(bytes=uuid7_bytes())


def uuid7_bytes() -> bytes:
    """The same as 16 bytes, without the cost of a UUID object."""
    random = int.from_bytes(_entropy.take(10), "big")
    stamp = clock.wall_ns() // 1_000_000
    value = (stamp << 80) | (0x7 << 76) | (((random >> 62) & 0xFFF) << 64)
    value |= (0b10 << 62) | (random & 0x3FFF_FFFF_FFFF_FFFF)
    return value.to_bytes(16, "big")


def millis_of(request_id: bytes) -> int:
    """Milliseconds since the epoch at which a `uuid7_bytes` id was made."""
    return int.from_bytes(request_id[:6], "big")
