"""Content codings: we ask for `identity`, but an answer in gzip or deflate is read all the same.

Decoding happens when the reader asks, a bounded piece at a time, so that a small answer that
unpacks into gigabytes never exists in memory (RFC 9110 §8.4, RFC 1950–1952).
"""

from __future__ import annotations

import zlib

from chatvault.lib.errors import UpstreamBroken, UpstreamTooLarge

PIECE_BYTES = 256 * 1024
_ZLIB_OR_GZIP = 47
_RAW = -15


class Decoder:
    """Unpacks one body. `pending` is what was fed and not yet unpacked."""

    __slots__ = ("_inner", "_is_first", "_left", "_may_be_raw", "pending")

    def __init__(self, coding: str, cap: int) -> None:
        self._inner = zlib.decompressobj(_ZLIB_OR_GZIP)
        self._may_be_raw = coding == "deflate"
        self._is_first = True
        self._left = cap
        self.pending = b""

    def feed(self, data: bytes) -> None:
        self.pending = self.pending + data if self.pending else data

    def take(self) -> bytes:
        """The next piece, or b"" when more input is needed.

        Raises UpstreamBroken for what is not in the coding, UpstreamTooLarge above the cap.
        """
        while self.pending:
            piece = self._unpack(self.pending)
            if piece:
                self._left -= len(piece)
                if self._left < 0:
                    raise UpstreamTooLarge("The provider's answer unpacks to more than allowed.")
                return piece
        return b""

    def finish(self) -> None:
        """Raises UpstreamBroken if the body ended before its coding did."""
        if not self._is_first and not self._inner.eof:
            raise UpstreamBroken("The provider's compressed answer is cut off.")

    def _unpack(self, data: bytes) -> bytes:
        if self._inner.eof:  # gzip allows several members in a row
            self._inner = zlib.decompressobj(_ZLIB_OR_GZIP)
        try:
            piece = self._inner.decompress(data, PIECE_BYTES)
        except zlib.error:
            if not (self._may_be_raw and self._is_first):
                raise UpstreamBroken("The provider's compressed answer is damaged.") from None
            # Some servers send `deflate` without its zlib wrapper.
            self._inner = zlib.decompressobj(_RAW)
            self._may_be_raw = False
            return self._unpack(data)
        self._is_first = False
        self.pending = self._inner.unused_data or self._inner.unconsumed_tail
        return piece


def decoder_for(coding: str, cap: int) -> Decoder | None:
    """None for a body that is as it is. Raises UpstreamBroken for codings nobody asked for."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return Decoder(coding, cap)
    raise UpstreamBroken("The provider's answer is in a content coding that was not asked for.")
