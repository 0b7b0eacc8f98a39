"""Reading segments: frames in order, and what to do where bytes are not a frame.

A damaged stretch reaches from the first wrong byte to the next intact frame; reading goes on
there. What is left at the end of a file whose writer is gone is a torn tail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from apps.usage.records import (
    HEAD_BYTES,
    MAGIC,
    MAX_PAYLOAD,
    Record,
    decode_payload,
    frame_end,
    is_known,
    payload_at,
)

CHUNK: Final = 4 * 2**20


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a segment that are no record."""

    offset: int
    data: bytes


class SegmentReader:
    """Follows one file from `offset`. `offset` is always where the next frame begins."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        """Raises OSError when the file cannot be opened."""
        self.path = path
        self.offset = offset
        self.torn_bytes = 0
        self.damages: list[Damage] = []
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._buffer = b""
        self._at = 0  # of `offset` in the buffer

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def records(self, *, is_final: bool, until: int | None = None) -> Iterator[Record]:
        """The records after `offset`, which moves along.

        Without `is_final` it stops before bytes that may still become a frame; with it, such
        a rest is counted as torn. It never goes beyond the offset `until`.
        """
        while until is None or self.offset < until:
            payload = payload_at(self._buffer, self._at)
            if payload is None:
                if self._fill() or self._skip(is_final):
                    continue
                return
            start, offset = self._at, self.offset
            size = HEAD_BYTES + len(payload)
            self._at += size
            self.offset += size
            try:
                record: Record = decode_payload(payload)
            except (msgspec.DecodeError, msgspec.ValidationError):
                if not is_known(self._buffer, start):
                    continue  # a newer gateway wrote it, for a newer ingest to read
                self.damages.append(Damage(offset, self._buffer[start : start + size]))
                continue
            yield record

    def _fill(self) -> bool:
        """Read on when the buffer may end inside a frame. False: nothing new came."""
        if len(self._buffer) - self._at > HEAD_BYTES + MAX_PAYLOAD:
            return False
        rest = self._buffer[self._at :]
        more = os.pread(self._fd, CHUNK, self.offset + len(rest))
        self._buffer, self._at = rest + more, 0
        return bool(more)

    def _skip(self, is_final: bool) -> bool:
        """Step over damage to the next intact frame. False: there is nothing more to read."""
        found, known = self._next_intact()
        if found == self._at:
            return True  # meanwhile its rest was written
        if found < 0:
            found = known if is_final else self._at
            if found == self._at:
                return False
        self._put_aside(found, is_torn=found == len(self._buffer))
        return True

    def _next_intact(self) -> tuple[int, int]:
        """Where the next intact frame begins (-1: none), and the end of what was looked at.

        Looks through the rest of the file, since a damaged stretch may be of any length. The
        writer may be at work: what was no frame yet can be one when more is read.
        """
        candidate = self._buffer.find(MAGIC, self._at + 1)
        while True:
            while candidate >= 0:
                if payload_at(self._buffer, candidate) is not None:
                    return candidate, candidate
                candidate = self._buffer.find(MAGIC, candidate + 1)
            searched = max(len(self._buffer) - HEAD_BYTES - MAX_PAYLOAD, self._at + 1)
            more = os.pread(self._fd, CHUNK, self.offset + len(self._buffer) - self._at)
            if not more:
                return -1, len(self._buffer)
            self._buffer += more
            if payload_at(self._buffer, self._at) is not None:
                return self._at, self._at
            candidate = self._buffer.find(MAGIC, searched)

    def _put_aside(self, end: int, *, is_torn: bool) -> None:
        data = self._buffer[self._at : end]
        if is_torn and not _is_whole_frame(data):
            self.torn_bytes += len(data)
        else:
            self.damages.append(Damage(self.offset, data))
        self.offset += len(data)
        self._at = end


def _is_whole_frame(data: bytes) -> bool:
    """Whether all of a frame is there, so that its checksum is what is wrong."""
    return frame_end(data, 0) == len(data)
