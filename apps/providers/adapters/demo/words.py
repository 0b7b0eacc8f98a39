"""The demo model's tokens: a run of word characters or of others, with the space before it."""

from __future__ import annotations

import re
from typing import Any

_PIECE = re.compile(r"\s*\w+|\s*[^\w\s]+|\s+")
_ROLE_TOKENS = 3  # a message costs a little more than its text


def pieces_of(text: str) -> list[str]:
    """Its tokens; joined they are the text again."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    return len(pieces_of(text))


def text_of(content: Any) -> str:
    """The text of a message's content, whether a string or a list of parts; other parts, such as
    pictures, are `[image_url]`."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content if isinstance(part, dict))
    return ""


def _part(part: dict[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else f"[{part.get('type')}]"


def count_messages(messages: list[dict[str, Any]]) -> int:
    return sum(_ROLE_TOKENS + count(text_of(message.get("content"))) for message in messages)
