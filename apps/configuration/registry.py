"""Which sections the configuration document has. Apps add theirs when they are ready, so that
this app, at the bottom, knows none of them."""

from __future__ import annotations

from apps.configuration.collections import Collection

_sections: dict[str, tuple[int, Collection]] = {}
_waiting: dict[str, list[type[Collection]]] = {}


def register(section: Collection, *, order: int, parts: tuple[Collection, ...] = ()) -> None:
    """Add a section. `order` is its place in documents: what others refer to comes first."""
    for part in parts:
        section.parts[part.name] = part
    _sections[section.name] = (order, section)


def extend(path: str, kind: type[Collection]) -> None:
    """Add a part of every item of the collection at `path`, such as `clients.keys`.
    The section may be registered later."""
    _waiting.setdefault(path, []).append(kind)


def sections() -> list[Collection]:
    """All sections in the order of documents."""
    for path in list(_waiting):
        collection = _find(path)
        for kind in _waiting.pop(path):
            collection.parts[kind.name] = kind()
    return [section for _, section in sorted(_sections.values(), key=lambda entry: entry[0])]


def get(name: str) -> Collection:
    """A section by its name. Raises KeyError."""
    return _sections[name][1]


def _find(path: str) -> Collection:
    first, *rest = path.split(".")
    collection = get(first)
    for name in rest:
        collection = collection.parts[name]
    return collection
