from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps

from apps.configuration import documents
from apps.configuration.problems import DocumentRefused

CANARY = "sk-canary-8fd20b6c1e"

EXAMPLE = """
# the configuration document
version: 1
providers:
  - name: openai
    family: openai                  # adapter family
    base_url: https://api.openai.com/v1
    credentials: [{name: main, secret: "env:OPENAI_API_KEY"}]
deployments:
  - {name: gpt-4o-mini@openai, provider: openai, credential: main, model: gpt-4o-mini}
aliases:
  - {name: gpt-4o-mini, strategy: weighted, targets: [{deployment: gpt-4o-mini@openai, weight: 1}]}
price_books:
  - name: list
    prices: [{model: gpt-4o-mini, input: "0.15", cached_input: "0.075", output: "0.60"}]
pricing_tiers: [{name: standard, price_book: list, markup_percent: "0"}]
teams: [{name: research}]
clients:
  - name: notebook
    team: research
    tier: standard
    aliases: [gpt-4o-mini]
    keys: [{name: ci, secret: "env:TEAM_KEY"}]
    quotas: [{unit: requests, window_s: 60, ceiling: 600}]
    budgets: [{amount_usd: "10", period: month}]
"""


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


def problems_of(document: Any, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(DocumentRefused) as caught:
        apply(document, **options)
    assert all(p.hint and p.reason for p in caught.value.problems)
    return [(problem.path, problem.reason) for problem in caught.value.problems]
