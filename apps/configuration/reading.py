"""From plain data to items: every field known, of its kind, and pointing at something."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from apps.configuration import registry
from apps.configuration.collections import Collection, Item
from apps.configuration.fields import kind_of
from apps.configuration.problems import Wrong
from apps.configuration.work import Work

VERSION: Final = 1
MAX_PROBLEMS: Final = 100

Items = dict[str, list[Item]]


def read(document: Any, work: Work) -> Items:
    """The items of every section that the document names; what is wrong goes to `work`."""
    if not isinstance(document, Mapping):
        work.problem("document", "It is not a mapping.", "Begin with `version: 1`.")
        return {}
    _check_version(document, work)
    sections = {section.name: section for section in registry.sections()}
    _report_unknown(document, {"version", *sections}, "", work)
    items = {
        name: _read_list(section, document[name], name, work)
        for name, section in sections.items()
        if name in document
    }
    _check_references(document, items, work)
    for name, section_items in items.items():
        _check_items(sections[name], section_items, None, work)
    return items


def _check_version(document: Mapping[Any, Any], work: Work) -> None:
    version = document.get("version")
    if version is None:
        work.problem("version", "It is missing.", "Begin with `version: 1`.")
    elif version != VERSION or isinstance(version, bool):
        work.problem("version", "This version is not known.", "Write `version: 1`.")


def _read_list(collection: Collection, value: Any, path: str, work: Work) -> list[Item]:
    if value is None:
        value = []
    if not isinstance(value, list | tuple):
        work.problem(path, f"This must be a list, not {kind_of(value)}.", "Begin items with `-`.")
        return []
    items: list[Item] = []
    seen: dict[Any, str] = {}
    for index, part in enumerate(value):
        item = _read_item(collection, part, f"{path}[{index}]", index, work)
        if item is None:
            continue
        key = collection.key_of_item(item)
        if key in seen:
            field = f"{item.path}.{collection.key_fields[0]}"
            work.problem(field, f"This is the same as {seen[key]}.", "Keep one of them.")
            continue
        seen[key] = item.path
        items.append(item)
    return items


def _read_item(
    collection: Collection, value: Any, path: str, index: int, work: Work
) -> Item | None:
    if not isinstance(value, Mapping):
        work.problem(path, f"This must be a mapping, not {kind_of(value)}.", "Write {name: …}.")
        return None
    item = Item(path, index, {})
    has_key = True
    for field in collection.fields:
        if field.name not in value:
            if field.required:
                work.problem(f"{path}.{field.name}", "It is missing.", "Write it.")
                has_key = has_key and field.name not in collection.key_fields
            continue
        try:
            item.values[field.name] = field.read(value[field.name])
        except Wrong as wrong:
            work.problem(f"{path}.{field.name}", wrong.reason, wrong.hint)
            has_key = has_key and field.name not in collection.key_fields
    known = {field.name for field in collection.fields} | set(collection.parts)
    _report_unknown(value, known, f"{path}.", work)
    for name, part in collection.parts.items():
        if name in value:
            item.parts[name] = _read_list(part, value[name], f"{path}.{name}", work)
    return item if has_key else None


def _report_unknown(value: Mapping[Any, Any], known: set[str], prefix: str, work: Work) -> None:
    for name in value:
        if name not in known:
            shown = name if isinstance(name, str) and len(name) <= 60 else kind_of(name)
            work.problem(f"{prefix}{shown}", "There is no such field.", suggest(str(name), known))


def suggest(name: str, known: Iterable[str]) -> str:
    """What a mistyped name may have meant."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:100], names, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"There are: {', '.join(names[:12])}{' …' if len(names) > 12 else ''}."


def _check_references(document: Mapping[Any, Any], items: Items, work: Work) -> None:
    named = {name: _names_in(document[name]) for name in items}
    for name, section_items in items.items():
        for item in section_items:
            _check_item_references(registry.get(name), item, named, work)


def _names_in(section: Any) -> set[str] | None:
    """What a section names, right or wrong otherwise; None when nobody can tell."""
    if isinstance(section, Mapping):
        return None
    try:
        return {str(item["name"]) for item in section or ()}
    except (KeyError, TypeError, ValueError):
        return None


def _check_item_references(
    collection: Collection, item: Item, named: dict[str, set[str] | None], work: Work
) -> None:
    for field in collection.fields:
        for to, name in field.references(item.values.get(field.name, field.default)):
            in_document = named.get(to, set())
            if in_document is None or name in in_document:
                continue
            known = in_document if work.prunes(to) else in_document | work.names(to)
            if name not in known:
                path = f"{item.path}.{field.name}"
                singular = registry.get(to).model._meta.verbose_name
                hint = suggest(name, known) if known else f"Add it to {to}."
                work.problem(path, f"There is no {singular} {name[:100]!r}.", hint)
    for part_name, part_items in item.parts.items():
        for part_item in part_items:
            _check_item_references(collection.parts[part_name], part_item, named, work)


def _check_items(
    collection: Collection, items: list[Item], parent: Item | None, work: Work
) -> None:
    for item in items:
        collection.check(item, parent, work)
        for name, part_items in item.parts.items():
            _check_items(collection.parts[name], part_items, item, work)
