"""What a first run sets up, from what the environment offers."""

from datetime import date
from decimal import Decimal

import pytest

from apps.accounts.models import ApiKey, Client
from apps.billing.price_items import RATES
from apps.configuration import documents
from apps.providers.catalog import current_models, find_model
from apps.providers.models import Alias, Credential
from chatvault.first_run.document import build, plain

TODAY = date(2026, 11, 23)


def test_without_keys_there_is_the_demo() -> None:
    document = build({}, today=TODAY, ollama_models=[])
    assert [provider["name"] for provider in document["providers"]] == ["demo"]
    assert document["clients"][0]["aliases"] == ["demo"]


def test_a_key_becomes_a_reference_never_a_value() -> None:
    document = build({"OPENAI_API_KEY": "sk-canary"}, today=TODAY, ollama_models=[])
    assert document["providers"][1]["credentials"] == [
        {"name": "main", "secret": "env:OPENAI_API_KEY"}
    ]
    assert "canary" not in repr(document)


def test_models_come_with_list_prices() -> None:
    document = build({"OPENAI_API_KEY": "x"}, today=TODAY, ollama_models=[])
    prices = {price["model"]: price for price in document["price_books"][0]["prices"]}
    assert prices["gpt-4o-mini"] == {
        "model": "gpt-4o-mini",
        "input": "0.15",
        "output": "0.6",
        "cached_input": "0.075",
        "per_search": "0.025",
        "service_tiers": {
            "batch": {"input": "0.075", "output": "0.3", "cached_input": "0.0375"},
            "priority": {"input": "0.25", "output": "1", "cached_input": "0.125"},
        },
    }


def test_every_list_price_can_be_applied() -> None:
    keys = {"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "x", "GEMINI_API_KEY": "x"}
    document = build(keys, today=TODAY, ollama_models=[])
    prices = document["price_books"][0]["prices"]
    for price in prices:
        for field in RATES:
            if field.name in price:
                field.read(price[field.name])
    assert sum("bands" in price for price in prices) > 3
    assert sum("service_tiers" in price for price in prices) > 30


def test_ollama_is_free_and_does_not_shadow_others() -> None:
    document = build({"OLLAMA_HOST": "gpu"}, today=TODAY, ollama_models=["llama3.2:3b", "demo"])
    assert document["providers"][1]["base_url"] == "http://gpu:11434/v1"
    assert [alias["name"] for alias in document["aliases"]] == ["demo", "llama3.2:3b"]
    price = document["price_books"][0]["prices"][1]
    assert price == {"model": "llama3.2:3b", "input": "0", "output": "0"}


@pytest.mark.django_db
def test_the_whole_document_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "GEMINI_API_KEY": "c"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    document = build(environ, today=TODAY, ollama_models=[])
    applied = documents.apply(document, source="first-run", actor=None)
    assert applied.secret_of("quickstart", "first-run").reveal().startswith("cv_")
    assert Credential.objects.count() == 3
    assert Client.objects.get().aliases.count() == Alias.objects.count() > 20
    assert ApiKey.objects.get().name == "first-run"
    assert documents.apply(document, source="first-run", actor=None).is_noop


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_the_catalogue_offers_what_is_current_and_priced(provider: str) -> None:
    models = current_models(provider, today=TODAY)
    assert len(models) >= 5
    assert all(model.input > 0 for model in models)
    assert all(model.output > 0 for model in models if model.operation == "chat")
    assert len({model.name for model in models}) == len(models)
    assert not [model.name for model in models if "/" in model.name]


def test_retired_models_are_not_offered() -> None:
    names = {model.name for model in current_models("openai", today=TODAY)}
    assert "gpt-4o" in names
    assert not names & {"gpt-3.5-turbo", "gpt-4", "o1"}


def test_catalogue_prices_are_exact() -> None:
    model = find_model("openai", "gpt-4o-mini")
    assert model is not None
    assert (model.input, model.output) == (Decimal("0.15"), Decimal("0.6"))
    assert find_model("openai", "no-such-model") is None


@pytest.mark.parametrize(
    ("amount", "text"), [("0.1500", "0.15"), ("10.00", "10"), ("0", "0"), ("1E+2", "100")]
)
def test_amounts_are_written_plainly(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text
