"""Who holds a credential: one registry that gateways and the API ask alike.

Kinds of credentials that an app above knows (OAuth tokens) are registered by that app.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from apps.accounts.credentials import KeyRecord, Question

Find = Callable[[Sequence[Question]], Mapping[str, KeyRecord]]
"""Records by the digests of the questions. May ask the database, a fixed number of times."""

_finders: dict[str, Find] = {}


def register(kind: str, find: Find) -> None:
    """`find` answers questions of this kind from now on."""
    _finders[kind] = find


def answer(questions: Sequence[Question]) -> dict[str, KeyRecord]:
    """The records of all that exist and were not revoked; the others are left out."""
    by_kind: dict[str, list[Question]] = defaultdict(list)
    for question in questions:
        by_kind[question.kind].append(question)
    found: dict[str, KeyRecord] = {}
    for kind, asked in by_kind.items():
        find = _finders.get(kind)
        if find is not None:
            found.update(find(asked))
    return found
