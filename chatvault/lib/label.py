"""A state as lists of the admin take it, that is also fit to stand alone."""

from __future__ import annotations

from html import escape


class Label(tuple[str, str]):
    """A key, by which lists choose a colour, and words. On a page of one row it is the words."""

    __slots__ = ()

    def __new__(cls, key: str, words: str) -> Label:
        return super().__new__(cls, (key, words))

    def __html__(self) -> str:
        return escape(self[1]) or "–"
