"""Which of our models a name on a bill means."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

UNNAMED: Final = "names no model"
UNKNOWN: Final = "unknown model"
NOT_OURS: Final = "not ours, by a match rule"
OUTSIDE: Final = "outside the bill's days"
_DATE: Final = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
_VERSION: Final = re.compile(r"[-:]v\d+(:\d+)?$|:\d+$")


class Rule(NamedTuple):
    """`billed_model` may end with a `*`; no model: it is not ours."""

    billed_model: str
    model: str


class Matcher:
    """Rules first: the exact one, then the longest beginning. Then our own models: by name, and by
    name without the date that vendors put behind it."""

    def __init__(self, rules: Iterable[Rule], models: Iterable[str]) -> None:
        self._exact: dict[str, str] = {}
        self._starts: list[tuple[str, str]] = []
        for rule in rules:
            name = rule.billed_model.strip().casefold()
            if name.endswith("*"):
                self._starts.append((name[:-1], rule.model))
            else:
                self._exact[name] = rule.model
        self._starts.sort(key=lambda each: -len(each[0]))
        self._ours: dict[str, str | None] = {}
        for model in models:
            for name in _names(model):
                known = self._ours.get(name, model)
                self._ours[name] = model if known == model else None  # of two: nobody's
        for model in models:
            self._ours[_plain(model)] = model

    def find(self, billed_model: str) -> tuple[str, str]:
        """Our model and "", or "" and why there is none."""
        if not billed_model:
            return "", UNNAMED
        ruled = self._ruled(billed_model.casefold())
        if ruled is not None:
            return (ruled, "") if ruled else ("", NOT_OURS)
        for name in _names(billed_model):
            if found := self._ours.get(name):
                return found, ""
        return "", UNKNOWN

    def _ruled(self, name: str) -> str | None:
        if name in self._exact:
            return self._exact[name]
        return next((model for start, model in self._starts if name.startswith(start)), None)


def _plain(name: str) -> str:
    """Without case, and with one kind of separator."""
    return re.sub(r"[\s_.]+", "-", name.strip().casefold())


def _names(name: str) -> list[str]:
    """A name, and what is left of it without its version and date."""
    found = [_plain(name)]
    for pattern in (_VERSION, _DATE):
        shorter = pattern.sub("", found[-1])
        if shorter and shorter != found[-1]:
            found.append(shorter)
    return found
