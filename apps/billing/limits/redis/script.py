"""The one Lua script of limits, joined from its parts in `lua/`, and how its calls are written."""

from __future__ import annotations

from enum import IntEnum
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

import msgspec

_PARTS: Final = sorted((Path(__file__).parent / "lua").glob("*.lua"))
SOURCE: Final = b"\n".join([part.read_bytes() for part in _PARTS])
SHA: Final = sha1(SOURCE, usedforsecurity=False).hexdigest()
UNITS: Final = {
    "requests": 0,
    "tokens": 1,
    "concurrency": 2,
    "input_tokens": 3,
    "output_tokens": 4,
}
GRANT: Final = "grant:"
"""Begins the id of an entry that is no request but money an owner may spend without asking."""


class Op(IntEnum):
    """Operations of the script, by number."""

    RESERVE = 1
    SETTLE = 2
    RELEASE = 3
    EXTEND = 4
    RENEW = 5
    GRANT = 6
    ANNOUNCE = 7
    POST = 8
    LOAD = 9
    JOINED = 10
    AUDIT = 11
    FORGET = 12


encode: Final = msgspec.msgpack.Encoder().encode
decode: Final = msgspec.msgpack.Decoder().decode


def id_of(request_id: bytes) -> msgspec.Raw:
    """A request's id (at most 31 bytes) as the script's MessagePack knows it, which has no binary
    type."""
    return msgspec.Raw(bytes((0xA0 | len(request_id),)) + request_id)


def root_key(prefix: str) -> str:
    """The beginning of all keys; in a cluster the braces keep them in one slot."""
    return f"{prefix}:{{limits}}"


def news_channel(prefix: str) -> str:
    """Where announcements are published."""
    return f"{prefix}:{{limits}}:news"


FAILED: Final = -1
"""Begins an answer that is no answer."""


class Failed(Exception):
    """The script could not do one operation; nothing of it is to be relied on."""


def checked(answer: Any) -> Any:
    """An answer of the script. Raises Failed."""
    if type(answer) is list and answer and answer[0] == FAILED:
        raise Failed(str(answer[1]))
    return answer
