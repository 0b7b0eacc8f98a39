"""Recognising a chunk that differs from an earlier one in its text alone."""

from __future__ import annotations

_TEXT_KEYS = (b'"content":"', b'"text":"')
_PADDING_KEY = b'"obfuscation":"'  # OpenAI fills up chunks with noise of varying length
_END = b'"}\n\n'
_NULL_USAGE = b',"usage":null'


class Template:
    """One event cut at its text: `head` text `middle` [padding `"}`] blank line.

    A chunk that fits has the same members with the same values but for two strings without
    quotes, so it holds no usage, error or finish reason that the learned one did not hold.
    """

    __slots__ = ("head", "head_size", "is_padded", "middle", "middle_out", "middle_size")

    def __init__(self, head: bytes, middle: bytes, *, is_padded: bool, strips: bool) -> None:
        self.head = head
        self.head_size = len(head)
        self.middle = middle
        self.middle_size = len(middle)
        self.middle_out = middle.replace(_NULL_USAGE, b"") if strips else middle
        self.is_padded = is_padded


def find_template(block: bytes, *, strips: bool) -> Template | None:
    """The template of an event that passes as it is, less a null usage where `strips`."""
    for key in _TEXT_KEYS:
        at = block.find(key)
        if at < 0:
            continue
        start = at + len(key)
        end = block.find(b'"', start)
        if b"\\" in block[start:end]:
            return None
        padding = block.find(_PADDING_KEY, end)
        if padding < 0:
            return Template(block[:start], block[end:], is_padded=False, strips=strips)
        stop = padding + len(_PADDING_KEY)
        if block.find(b'"', stop) != len(block) - len(_END) or not block.endswith(_END):
            return None
        return Template(block[:start], block[end:stop], is_padded=True, strips=strips)
    return None
