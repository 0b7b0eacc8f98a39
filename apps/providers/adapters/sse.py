"""Cutting a server-sent event stream into its blocks (WHATWG HTML §9.2), whatever the slicing."""

from __future__ import annotations

import re

from chatvault.lib.errors import UpstreamInvalid

# A block ends at a blank line; lines end with CRLF, LF or CR.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELDS = (b"data", b"event", b"id", b"retry", b":")
BOM = b"\xef\xbb\xbf"
MAX_BLOCK_BYTES = 16 * 1024 * 1024


class Splitter:
    """Collects bytes and gives back whole blocks, each with the blank line that ends it.

    A trailing CR waits for the byte after it, so that CRLF is never torn apart.
    """

    __slots__ = ("_has_cr", "_scanned", "_started", "buffer")

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._scanned = 0  # before this no blank line begins
        self._has_cr = False
        self._started = False

    def push(self, data: bytes) -> list[bytes]:
        """The blocks that `data` completes. Raises UpstreamInvalid for an endless block."""
        buffer = self.buffer
        buffer += data
        if not self._started and not self._skip_bom():
            return []
        self._has_cr = self._has_cr or b"\r" in data
        blocks: list[bytes] = []
        start = 0
        while (end := self._find_end(max(start, self._scanned))) > 0:
            blocks.append(bytes(buffer[start:end]))
            start = self._scanned = end
        if start:
            del buffer[:start]
        self._scanned = max(0, len(buffer) - 3)
        if len(buffer) > MAX_BLOCK_BYTES:
            raise UpstreamInvalid("The provider's stream holds an event without an end.")
        return blocks

    def take_rest(self) -> bytes:
        """What is left when the body has ended; a block without its blank line, mostly."""
        rest = bytes(self.buffer)
        self.buffer.clear()
        return rest

    def _skip_bom(self) -> bool:
        """False while the first bytes may still become a byte order mark."""
        head = bytes(self.buffer[:3])
        if len(head) < 3 and BOM.startswith(head):
            return False
        if head == BOM:
            del self.buffer[:3]
        self._started = True
        return True

    def _find_end(self, start: int) -> int:
        """Where the block that `start` is in ends; 0 if its blank line is not there yet."""
        if not self._has_cr:
            found = self.buffer.find(b"\n\n", start)
            return found + 2 if found >= 0 else 0
        match = _BLANK_LINE.search(self.buffer, start)
        if match is None:
            return 0
        end = match.end()
        return 0 if end == len(self.buffer) and self.buffer[end - 1 : end] == b"\r" else end


def payload_of(block: bytes) -> bytes | None:
    """The joined `data` lines of a block; None where it has none (comments, keep-alives)."""
    lines = [_data_of(line) for line in _LINE_END.split(block) if line[:4] == b"data"]
    found = [line for line in lines if line is not None]
    return b"\n".join(found) if found else None


def _data_of(line: bytes) -> bytes | None:
    if line == b"data":
        return b""
    if line[4:5] != b":":
        return None
    return line[6:] if line[5:6] == b" " else line[5:]


def event_of(block: bytes) -> bytes:
    """The block's event name, or b""."""
    for line in _LINE_END.split(block):
        if line[:6] == b"event:":
            return line[6:].strip()
    return b""


def is_block(block: bytes) -> bool:
    """Whether every line is a field or a comment of the protocol."""
    return all(line.startswith(_FIELDS) for line in _LINE_END.split(block) if line)


def with_payload(block: bytes, payload: bytes) -> bytes:
    """The block with other data, its comments and other fields kept."""
    kept = [line for line in _LINE_END.split(block) if line and line[:4] != b"data"]
    data = [b"data: " + line for line in payload.split(b"\n")]
    return b"\n".join([*kept, *data]) + b"\n\n"


def event(payload: bytes) -> bytes:
    """One event of our own making; the payload is compact JSON."""
    return b"data: " + payload + b"\n\n"


DONE = b"data: [DONE]\n\n"
