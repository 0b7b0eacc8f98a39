"""What clients label their requests with, for reports and budgets.

The header `x-chatvault-tags: project=atlas,env=prod` is ours: one that is not understood is
refused. OpenAI's body field `metadata` is the client's: of it, what fits is a tag as well.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from chatvault.lib.errors import BadRequest

Tags = tuple[tuple[str, str], ...]

HEADER: Final = b"x-chatvault-tags"
MOST: Final = 8
MOST_VALUE: Final = 64
_KEY: Final = re.compile(r"[a-z0-9_.\-]{1,32}")
_members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text: Final = msgspec.json.Decoder(str).decode


def of_header(value: bytes, known: Tags = ()) -> Tags:
    """The pairs of a header, after those of an earlier one. Raises BadRequest."""
    try:
        text = value.decode().strip()
    except UnicodeDecodeError:
        raise _wrong("it is not UTF-8") from None
    if not text:
        return known
    tags = dict(known)
    for pair in text.split(","):
        key, equals, said = pair.partition("=")
        key, said = key.strip(), said.strip()
        if not equals:
            raise _wrong("every tag is a key, '=' and a value, with commas between them")
        if _KEY.fullmatch(key) is None:
            raise _wrong("a key has 1 to 32 characters of a-z, 0-9, '_', '.' and '-'")
        if not is_value(said):
            raise _wrong(f"the value of '{key}' must have 1 to {MOST_VALUE} printable characters")
        if key in tags:
            raise _wrong(f"'{key}' is there twice")
        tags[key] = said
    if len(tags) > MOST:
        raise _wrong(f"there are more than {MOST} tags")
    return tuple(sorted(tags.items()))


def with_metadata(tags: Tags, raw: msgspec.Raw) -> Tags:
    """The header's tags and, as far as there is room, the members of the body's `metadata` that
    can be tags; the header wins."""
    if bytes(raw)[:1] != b"{":
        return tags
    found = dict(tags)
    for key, member in _members(raw).items():
        if len(found) >= MOST:
            break
        if key in found or _KEY.fullmatch(key) is None or bytes(member)[:1] != b'"':
            continue
        if is_value(said := _text(member)):
            found[key] = said
    return tuple(sorted(found.items()))


def is_value(text: str) -> bool:
    return 0 < len(text) <= MOST_VALUE and text.isprintable()


def _wrong(why: str) -> BadRequest:
    return BadRequest(
        f"The header 'x-chatvault-tags' is not understood: {why}. An example: "
        "project=atlas,env=prod"
    )
