"""Models and list prices of the well-known providers, from the price file that litellm carries.

litellm itself is never imported: that costs seconds and 180 MB.
"""

import json
import re
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import msgspec

from apps.providers import catalog_conditions
from apps.providers.catalog_conditions import ListConditions

_FILE: Final = "model_prices_and_context_window_backup.json"
_MILLION: Final = 1_000_000
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$|-\d{8}$|-\d{2}-\d{4}$|-\d{4}$")
_NOT_FOR_CHAT = re.compile(
    r"^ft:|audio|tts|search|preview|exp|robotics|lyria|gemma|learnlm|research|cyber|daybreak"
    r"|computer-use|container|chat-latest|omni|rosalind|16k|-v2$"
)


class _Entry(msgspec.Struct):
    litellm_provider: str = ""
    mode: str = ""
    deprecation_date: date | None = None
    max_output_tokens: int | None = None
    input_cost_per_token: Decimal | None = None
    output_cost_per_token: Decimal | None = None
    cache_read_input_token_cost: Decimal | None = None
    cache_creation_input_token_cost: Decimal | None = None
    cache_creation_input_token_cost_above_1hr: Decimal | None = None


class CatalogModel(msgspec.Struct, frozen=True):
    """A model that can be had now. Prices are USD per 1 M tokens, exact; None: as input."""

    name: str
    operation: Literal["chat", "embedding"]
    max_output_tokens: int | None
    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    conditions: ListConditions = ListConditions()


def price_file() -> Path | None:
    """Where litellm keeps its price map; None when litellm is not installed."""
    spec = find_spec("litellm")
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0]) / _FILE if folders else None
    return path if path is not None and path.is_file() else None


def current_models(provider: str, *, today: date) -> list[CatalogModel]:
    """What a new customer of `provider` (openai, anthropic, gemini) would use today.

    Models for text chat and embeddings that have a price and are not retired; names that float
    instead of dated snapshots of them.
    """
    found = (
        _model(name, entry)
        for name, entry in _entries().items()
        if entry.litellm_provider == provider
        and (entry.deprecation_date is None or entry.deprecation_date > today)
    )
    unique = {model.name: model for model in found if model is not None}
    return sorted(unique.values(), key=lambda model: model.name)


def find_model(provider: str, name: str) -> CatalogModel | None:
    """The catalogue's word on one model of a provider, whatever its age."""
    for key in (name, f"{provider}/{name}"):
        entry = _entries().get(key)
        if entry is not None and entry.litellm_provider == provider:
            return _priced(name, key, entry)
    return None


@cache
def _entries() -> dict[str, _Entry]:
    decoder = msgspec.json.Decoder(_Entry)
    entries = {}
    for name, text in _raw().items():
        try:
            entries[name] = decoder.decode(text)
        except msgspec.ValidationError:  # the file's own sample entry has words for numbers
            continue
    return entries


@cache
def _raw() -> dict[str, msgspec.Raw]:
    path = price_file()
    if path is None:
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])


def _conditions(key: str) -> ListConditions:
    entry = json.loads(bytes(_raw()[key]), parse_float=Decimal)
    return catalog_conditions.read(entry)


def _model(name: str, entry: _Entry) -> CatalogModel | None:
    short = name.removeprefix(f"{entry.litellm_provider}/")
    if _NOT_FOR_CHAT.search(short) or _SNAPSHOT.search(short):
        return None
    return _priced(short, name, entry)


def _priced(name: str, key: str, entry: _Entry) -> CatalogModel | None:
    if entry.mode not in ("chat", "embedding") or not entry.input_cost_per_token:
        return None
    output = entry.output_cost_per_token or Decimal(0)
    if entry.mode == "chat" and not output:
        return None
    return CatalogModel(
        name=name,
        operation="chat" if entry.mode == "chat" else "embedding",
        max_output_tokens=entry.max_output_tokens if entry.mode == "chat" else None,
        input=entry.input_cost_per_token * _MILLION,
        output=output * _MILLION,
        cached_input=_per_million(entry.cache_read_input_token_cost),
        cache_write=_per_million(entry.cache_creation_input_token_cost),
        cache_write_1h=_per_million(entry.cache_creation_input_token_cost_above_1hr),
        conditions=_conditions(key),
    )


def _per_million(price: Decimal | None) -> Decimal | None:
    return None if price is None else price * _MILLION
