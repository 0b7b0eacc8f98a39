"""The present configuration as a document: references and marks, never secrets."""

from __future__ import annotations

from typing import Any

from apps.configuration import registry
from apps.configuration.reading import VERSION


def export() -> dict[str, Any]:
    """The whole configuration, in a fixed order; applying it changes nothing."""
    document: dict[str, Any] = {"version": VERSION}
    for section in registry.sections():
        if items := section.export_all(section.rows()):
            document[section.name] = items
    return document
