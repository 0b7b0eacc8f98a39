"""Every route that there is, read from the URLconf, and how it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver

_ARGUMENT: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_GROUP: Final = re.compile(r"\(\?P(<\w+>)(?:[^()]|\([^)]*\))*\)")
_ADMIN: Final = re.compile(r"^admin/(\w+)/(\w+)/")


@dataclass(frozen=True)
class Route:
    """`pattern` is unique; `arguments` are its placeholders in order."""

    pattern: str
    name: str
    view: Any = field(compare=False)

    @property
    def arguments(self) -> list[str]:
        found: list[str] = _ARGUMENT.findall(self.pattern)
        return found

    @property
    def model(self) -> type[Model] | None:
        """Whose rows the arguments of a page of the admin are."""
        if found := _ADMIN.match(self.pattern):
            try:
                return apps.get_model(found[1], found[2])
            except LookupError:
                return None
        return None

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of the API as its view has them; of pages GET and POST."""
        kind = getattr(self.view, "cls", None) or getattr(self.view, "view_class", None)
        actions = getattr(self.view, "actions", None)
        if actions:
            return tuple(sorted(each.upper() for each in actions if each != "head"))
        if kind is not None and self.pattern.startswith(("api/", "v1/", "oauth/")):
            asked = ("GET", "POST", "PUT", "PATCH", "DELETE")
            return tuple(each for each in asked if hasattr(kind, each.lower()))
        return ("GET", "POST")

    def path(self, values: dict[str, str]) -> str:
        return "/" + _ARGUMENT.sub(lambda found: values[found[1]], self.pattern)


def routes() -> list[Route]:
    found: dict[str, Route] = {}
    for pattern, name, view in _walk(get_resolver().url_patterns):
        plain = re.sub(r"\^|\$|\\Z|\\(?=[./-])", "", _GROUP.sub(r"\1", pattern))
        found.setdefault(plain, Route(plain, name, view))
    return sorted(found.values(), key=lambda route: route.pattern)


def _walk(patterns: Any, prefix: str = "", space: str = "") -> Iterator[tuple[str, str, Any]]:
    for each in patterns:
        pattern = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            inner = f"{space}{each.namespace}:" if each.namespace else space
            yield from _walk(each.url_patterns, pattern, inner)
        elif isinstance(each, URLPattern):
            yield pattern, f"{space}{each.name or ''}", each.callback


def registered_models() -> list[type[Model]]:
    return sorted(admin.site._registry, key=lambda model: model._meta.label_lower)
