"""The configuration document of a first run, from what the environment offers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from apps.providers.catalog import CatalogModel, current_models
from apps.providers.catalog_conditions import ListConditions
from chatvault.settings.upstream import ollama_base_url

CLIENT: Final = "quickstart"
KEY: Final = "first-run"
DEMO: Final = "demo"

_NANO: Final = Decimal("1e-9")

Document = dict[str, Any]


@dataclass(frozen=True)
class Known:
    """A provider whose key, found in the environment, is all that is needed."""

    name: str
    family: str
    base_url: str
    variable: str


KNOWN: Final = (
    Known("openai", "openai", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    Known("anthropic", "anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    Known(
        "gemini",
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
    ),
)


def build(environ: Mapping[str, str], *, today: date, ollama_models: list[str]) -> Document:
    """The demo always; every known provider whose key is set; Ollama with these models.

    Secrets stay references to the environment: the document holds none.
    """
    document = _demo()
    for known in KNOWN:
        if environ.get(known.variable):
            _add_known(document, known, current_models(known.name, today=today))
    if environ.get("OLLAMA_HOST"):
        _add_ollama(document, ollama_base_url(environ["OLLAMA_HOST"]), ollama_models)
    client = document["clients"][0]
    client["aliases"] = [alias["name"] for alias in document["aliases"]]
    return document


def _demo() -> Document:
    return {
        "version": 1,
        "providers": [{"name": DEMO, "family": "demo"}],
        "deployments": [{"name": "demo@demo", "provider": DEMO, "model": DEMO}],
        "aliases": [_alias(DEMO, "demo@demo")],
        "price_books": [
            {
                "name": "list",
                "prices": [
                    {"model": DEMO, "input": "0.15", "cached_input": "0.075", "output": "0.60"}
                ],
            }
        ],
        "pricing_tiers": [{"name": "standard", "price_book": "list", "markup_percent": "0"}],
        "teams": [{"name": "home"}],
        "clients": [
            {
                "name": CLIENT,
                "team": "home",
                "tier": "standard",
                "aliases": [],
                "keys": [{"name": KEY}],
                "quotas": [
                    {"unit": "requests", "window_s": 60, "ceiling": 1_000_000},
                    {"unit": "tokens", "window_s": 60, "ceiling": 1_000_000_000},
                    {"unit": "concurrency", "window_s": 1, "ceiling": 2_000},
                ],
                "budgets": [{"amount_usd": "100", "period": "month"}],
            }
        ],
    }


def _alias(name: str, deployment: str) -> Document:
    target = {"deployment": deployment, "weight": 1}
    return {"name": name, "strategy": "weighted", "targets": [target]}


def _add_known(document: Document, known: Known, models: list[CatalogModel]) -> None:
    secret = f"env:{known.variable}"
    document["providers"].append(
        {
            "name": known.name,
            "family": known.family,
            "base_url": known.base_url,
            "credentials": [{"name": "main", "secret": secret}],
        }
    )
    for model in models:
        deployment: Document = {
            "name": f"{model.name}@{known.name}",
            "provider": known.name,
            "credential": "main",
            "model": model.name,
        }
        if model.max_output_tokens:
            deployment["max_output_tokens"] = model.max_output_tokens
        document["deployments"].append(deployment)
        document["aliases"].append(_alias(model.name, deployment["name"]))
        document["price_books"][0]["prices"].append(_price(model))


def _price(model: CatalogModel) -> Document:
    price = {"model": model.name, "input": plain(model.input), "output": plain(model.output)}
    for name in ("cached_input", "cache_write", "cache_write_1h"):
        value = getattr(model, name)
        if value is not None:
            price[name] = plain(value)
    return price | _conditions(model.conditions)


def _conditions(listed: ListConditions) -> Document:
    price: Document = _card(listed.more)
    if listed.bands:
        price["bands"] = _bands(listed.bands)
    tiers: Document = {}
    for name, card in listed.tiers.items():
        tiers[name] = _card(card)
        if bands := _bands(listed.tier_bands.get(name, {})):
            tiers[name]["bands"] = bands
    return price | ({"service_tiers": tiers} if tiers else {})


def _bands(bands: Mapping[int, Mapping[str, Decimal]]) -> list[Document]:
    return [{"above": above, **_card(card)} for above, card in bands.items() if card]


def _card(card: Mapping[str, Decimal]) -> Document:
    return {name: plain(usd.quantize(_NANO, ROUND_HALF_UP)) for name, usd in card.items()}


def plain(amount: Decimal) -> str:
    """An amount as people write it: no exponent, no zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _add_ollama(document: Document, base_url: str, models: list[str]) -> None:
    document["providers"].append({"name": "ollama", "family": "openai", "base_url": base_url})
    taken = {alias["name"] for alias in document["aliases"]}
    for model in models:
        deployment = f"{model}@ollama"
        document["deployments"].append({"name": deployment, "provider": "ollama", "model": model})
        document["price_books"][0]["prices"].append({"model": model, "input": "0", "output": "0"})
        if model not in taken:
            document["aliases"].append(_alias(model, deployment))


def found(environ: Mapping[str, str]) -> list[str]:
    """The variables that a first run made something of, for the line of progress."""
    names = [known.variable for known in KNOWN] + ["OLLAMA_HOST"]
    return [name for name in names if environ.get(name)]
