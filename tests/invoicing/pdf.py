"""Reads the text back out of the PDFs that fpdf2 writes: as much of a reader as tests need."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.S)
_LETTER = re.compile(rb"<([0-9A-F]{4})> <([0-9A-F]{4,8})>")
_SHOWN = re.compile(rb"\(((?:\\.|[^\\()])*)\) Tj", re.S)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def text_of(data: bytes) -> str:
    """All texts in the order in which they are drawn, parted by spaces."""
    assert data.startswith(b"%PDF-")
    assert data.rstrip().endswith(b"%%EOF")
    streams = list(_streams(data))
    letters = {
        int(glyph, 16): bytes.fromhex(code.decode()).decode("utf-16-be")
        for stream in streams
        if b"beginbfchar" in stream
        for glyph, code in _LETTER.findall(stream)
    }
    found = []
    for stream in streams:
        if b" Tf ET" in stream:
            for shown in _SHOWN.findall(stream):
                glyphs = re.sub(rb"\\(.)", lambda m: _ESCAPED.get(m[1], m[1]), shown, flags=re.S)
                numbers = (glyphs[at : at + 2] for at in range(0, len(glyphs), 2))
                found.append("".join(letters[int.from_bytes(each)] for each in numbers))
    return " ".join(" ".join(found).split())


def _streams(data: bytes) -> Iterator[bytes]:
    for found in _STREAM.finditer(data):
        try:
            yield zlib.decompress(found[1])
        except zlib.error:  # the table of letters is written as it is
            yield found[1]
