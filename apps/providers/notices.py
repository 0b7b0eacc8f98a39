"""What apps above have to say of deployments; they register, the pages of providers ask."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apps.providers.models import Deployment

Source = Callable[[Sequence[Deployment]], list[str]]
"""Sentences for an admin, plain or safe HTML; in a fixed number of queries."""

_sources: list[Source] = []


def register(source: Source) -> None:
    """Ask `source`, too, from now on."""
    if source not in _sources:
        _sources.append(source)


def about(deployments: Sequence[Deployment]) -> list[str]:
    return [text for source in _sources for text in source(deployments)]
