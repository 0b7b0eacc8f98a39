"""What differs between two configuration documents, item by item and field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from apps.configuration import registry
from apps.configuration.collections import Collection

Kind = Literal["added", "changed", "removed"]


@dataclass(frozen=True)
class Difference:
    """`path` names items, not places: `clients[notebook].quotas[requests/60].ceiling`. `before`
    and `after` are short texts; items that came or went show their own fields."""

    kind: Kind
    path: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        sign = {"added": "+", "changed": "~", "removed": "-"}[self.kind]
        if self.kind == "changed":
            return f"{sign} {self.path}: {self.before or '(none)'} → {self.after or '(none)'}"
        return f"{sign} {self.path} {self.before or self.after}".rstrip()


def diff(before: dict[str, Any], after: dict[str, Any]) -> list[Difference]:
    """Differences in the order of documents; empty for two that say the same."""
    return [
        difference
        for section in registry.sections()
        for difference in _lists(
            section, before.get(section.name) or [], after.get(section.name) or [], ""
        )
    ]


def _lists(
    collection: Collection, before: list[Any], after: list[Any], where: str
) -> Iterator[Difference]:
    old = {_name(collection, item): item for item in before}
    new = {_name(collection, item): item for item in after}
    for name in dict.fromkeys([*old, *new]):
        path = f"{where}{collection.name}[{name}]"
        if name not in new:
            yield Difference("removed", path, before=_summary(collection, old[name]))
        elif name not in old:
            yield Difference("added", path, after=_summary(collection, new[name]))
            for part in collection.parts.values():
                yield from _lists(part, [], new[name].get(part.name) or [], f"{path}.")
        else:
            yield from _items(collection, old[name], new[name], path)
    common = [name for name in old if name in new]
    if common != [name for name in new if name in old]:
        path = f"{where}{collection.name}"
        yield Difference("changed", path, before=", ".join(old), after=", ".join(new))


def _items(
    collection: Collection, before: dict[str, Any], after: dict[str, Any], path: str
) -> Iterator[Difference]:
    for field in collection.fields:
        old, new = (
            _value(field.write, field.default, item, field.name) for item in (before, after)
        )
        if old != new:
            yield Difference("changed", f"{path}.{field.name}", before=_text(old), after=_text(new))
    for part in collection.parts.values():
        yield from _lists(part, before.get(part.name) or [], after.get(part.name) or [], f"{path}.")


def _value(write: Any, default: Any, item: dict[str, Any], name: str) -> Any:
    return item[name] if name in item else write(default)


def _name(collection: Collection, item: dict[str, Any]) -> str:
    values = [item.get(name, collection.field(name).default) for name in collection.key_fields]
    return collection.key_text(tuple(values))


def _summary(collection: Collection, item: dict[str, Any]) -> str:
    """An item's own fields, without its key and its parts."""
    shown = {
        name: value
        for name, value in item.items()
        if name not in collection.parts and name not in collection.key_fields
    }
    return ", ".join(f"{name} {_text(value)}" for name, value in shown.items())


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
