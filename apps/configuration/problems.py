"""What is wrong with a configuration document, told so that its author can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """`path` is where, such as `clients[0].keys[1].secret`; `hint` says what to write instead.
    No part of it repeats a secret."""

    path: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason} {self.hint}".strip()


class Wrong(Exception):
    """A value that a field cannot take."""

    def __init__(self, reason: str, hint: str = "") -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(reason)


class DocumentRefused(Exception):
    """The document has `problems`; nothing of it was applied."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))
