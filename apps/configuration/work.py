"""One application of a document: what it knows, what it did, what it found wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Model

from apps.configuration import registry
from apps.configuration.problems import Problem
from chatvault.lib.redact import Secret

if TYPE_CHECKING:
    from apps.accounts.models import User
    from apps.configuration.collections import Collection


class MadeKey(NamedTuple):
    """A key that was made because the document gave no secret for it."""

    client: str
    name: str
    secret: Secret


@dataclass
class Applied:
    """What a document did. Labels look like `clients[notebook].keys[ci]`."""

    created: list[str]
    changed: list[str]
    removed: list[str]
    unchanged: int
    issued_keys: list[MadeKey]
    notes: list[str]
    revision: int | None = None

    @property
    def is_noop(self) -> bool:
        return not (self.created or self.changed or self.removed)

    def secret_of(self, client: str, name: str) -> Secret:
        """The secret of a key that was made. Raises KeyError."""
        for made in self.issued_keys:
            if (made.client, made.name) == (client, name):
                return made.secret
        raise KeyError(f"{client} / {name}")


class Work:
    """`prune`: what the document does not name goes, fields back to their defaults; rows of the
    collections at `keep` (such as `clients.keys`) stay. `may_wipe`: secrets of providers that
    move to another origin are wiped instead of refusing the document."""

    def __init__(
        self,
        *,
        actor: User | None,
        prune: bool = False,
        keep: frozenset[str] = frozenset(),
        may_wipe: bool = False,
    ) -> None:
        self.actor = actor
        self.prune = prune
        self.keep = keep
        self.may_wipe = may_wipe
        self.problems: list[Problem] = []
        self.applied = Applied([], [], [], 0, [], [])
        self._named: dict[str, dict[str, Model]] = {}
        self._new: set[tuple[type[Model], Any]] = set()
        self._to_remove: list[tuple[Collection, Model, str]] = []

    def problem(self, path: str, reason: str, hint: str = "") -> None:
        self.problems.append(Problem(path, reason, hint))

    def find(self, section: str, name: str) -> Model:
        """A row by its name. Raises KeyError; references are checked before."""
        return self._rows_of(section)[name]

    def names(self, section: str) -> set[str]:
        """Names of the rows that there are."""
        return set(self._rows_of(section))

    def remember(self, collection: Collection, row: Model) -> None:
        if collection.name in self._named and not collection.parent:
            self._named[collection.name][str(collection.key_of_row(row)[0])] = row

    def is_new(self, row: Model) -> bool:
        return (type(row), row.pk) in self._new

    def prunes(self, path: str) -> bool:
        """Do rows go that the document does not name in the collection at this path?"""
        bare = ".".join(step.partition("[")[0] for step in path.split("]."))
        return self.prune and bare not in self.keep

    def note_created(self, label: str, row: Model) -> None:
        self._new.add((type(row), row.pk))
        self.applied.created.append(label)

    def note_changed(self, label: str, names: list[str]) -> None:
        if names:
            self.applied.changed.append(f"{label}: {', '.join(names)}")
        else:
            self.applied.unchanged += 1

    def remove_later(self, collection: Collection, row: Model, label: str) -> None:
        """After everything else, the last first: nothing refers to it any more by then."""
        self._to_remove.append((collection, row, label))

    def remove_now(self) -> None:
        for collection, row, label in reversed(self._to_remove):
            collection.remove(row, self)
            self.applied.removed.append(label)

    def _rows_of(self, section: str) -> dict[str, Model]:
        if section not in self._named:
            rows = registry.get(section).model._default_manager.all()
            self._named[section] = {row.name: row for row in rows}  # type: ignore[attr-defined]
        return self._named[section]
