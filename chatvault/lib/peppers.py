"""The ring of peppers under which keys are stored: `2:base64,1:base64`, or one without a number.

The first one is for everything new; keys that are stored under another one of the ring still match.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

MOST: Final = 8
MAX_NUMBER: Final = 32_767


def parse_ring(text: str) -> dict[int, bytes]:
    """Peppers by number, the one for new keys first; a pepper without a number is number 1.

    Raises ValueError, which never holds a pepper.
    """
    ring: dict[int, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        number, encoded = _split(part)
        if number in ring:
            raise ValueError(f"CHATVAULT_KEY_PEPPER has the number {number} twice")
        ring[number] = _decoded(encoded)
    if not ring:
        raise ValueError("CHATVAULT_KEY_PEPPER is empty")
    if len(ring) > MOST:
        raise ValueError(f"CHATVAULT_KEY_PEPPER has more than {MOST} peppers")
    return ring


def _split(part: str) -> tuple[int, str]:
    name, colon, encoded = part.partition(":")
    if not colon:
        return 1, part
    if not (name.isascii() and name.isdigit() and 1 <= int(name) <= MAX_NUMBER):
        raise ValueError("CHATVAULT_KEY_PEPPER has a number that is not within 1 and 32767")
    return int(name), encoded


def _decoded(text: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("CHATVAULT_KEY_PEPPER is not base64") from None
    if not found:
        raise ValueError("CHATVAULT_KEY_PEPPER has an empty pepper")
    return found
