from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps

from apps.configuration import documents

CANARY = "sk-canary-8fd20b6c1e"


@pytest.fixture
def rows(db: None) -> Callable[[], dict[str, list[Any]]]:
    """Everything that is in the database of our apps, to compare before and after."""

    def read() -> dict[str, list[Any]]:
        models = [model for model in apps.get_models() if model.__module__.startswith("apps.")]
        through = [
            field.remote_field.through
            for model in models
            for field in model._meta.many_to_many
            if field.remote_field.through._meta.auto_created
        ]
        return {
            model._meta.label: list(model._default_manager.order_by("pk").values())
            for model in [*models, *through]
        }

    return read


@pytest.fixture
def given_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A key that the environment gives."""
    monkeypatch.setenv("TEAM_KEY", CANARY)
    return CANARY


def apply(document: Any, **options: Any) -> documents.Applied:
    return documents.apply(document, source="document", actor=None, **options)
