"""Canaries: secrets that are like nothing else in the world, and every form they could leak in."""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

WINDOW = 8
_LETTERS = string.ascii_letters + string.digits


def random_text(length: int = 32) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


@dataclass(frozen=True)
class Canary:
    """A secret. `core` is its random part; `raw` what its text stands for, if it is an encoding.
    `allowed` names the places (as `Place.name` begins) where it has to be."""

    name: str
    text: str
    core: str
    raw: bytes = b""
    allowed: tuple[str, ...] = ()
    needles: tuple[bytes, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "needles", tuple(sorted(set(_needles(self)))))

    def found_in(self, content: bytes) -> list[str]:
        """The forms of it that are there, shortened so that a report is no leak itself."""
        return [_hinted(needle) for needle in self.needles if needle in content]


def canary(name: str, prefix: str = "", *, allowed: tuple[str, ...] = ()) -> Canary:
    core = random_text()
    return Canary(name, prefix + core, core, allowed=allowed)


def encoded(name: str, *, allowed: tuple[str, ...] = ()) -> Canary:
    """32 random bytes, written in base64 as ChatVault's own keys are."""
    raw = secrets.token_bytes(32)
    text = base64.b64encode(raw).decode()
    return Canary(name, text, text.rstrip("="), raw, allowed)


def known(name: str, text: str, *, allowed: tuple[str, ...] = ()) -> Canary:
    """One that ChatVault made itself."""
    return Canary(name, text, text, allowed=allowed)


def _needles(mark: Canary) -> Iterator[bytes]:
    core = mark.core.encode()
    for at in range(len(core) - WINDOW + 1):
        yield core[at : at + WINDOW]
    for part in filter(None, (core, mark.text.encode(), mark.raw)):
        yield part.hex().encode()
        yield part.hex().upper().encode()
        for shift in range(3):
            yield from _base64_of(part, shift)
    for text in (mark.text, mark.core):
        yield quote(text, safe="").encode()
        yield quote_plus(text).encode()
        yield "".join(f"%{byte:02X}" for byte in text.encode()).encode()
        yield text[::-1].encode()
    if mark.raw:
        yield mark.raw


def _base64_of(part: bytes, shift: int) -> Iterator[bytes]:
    """As it would look somewhere within a longer text that was encoded as a whole."""
    whole = base64.b64encode(b"\0" * shift + part).rstrip(b"=")
    inner = whole[(0, 2, 3)[shift] : -2]
    yield inner
    yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def _hinted(needle: bytes) -> str:
    return f"{needle[:3]!r}…({len(needle)})"
