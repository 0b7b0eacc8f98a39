"""List prices of the catalogue, compared with those of a book."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from django.db import transaction

from apps.billing import services
from apps.billing.models import Price, PriceBook
from apps.billing.price_items import RATES
from apps.providers import catalog
from apps.providers.catalog_conditions import ListConditions
from apps.providers.models import Deployment
from chatvault.lib.money import nano_from_usd

DOUBTFUL_FACTOR: Final = 10
_KNOWN: Final = ("openai", "anthropic", "gemini")
_LISTED: Final = ("input", "output", "cached_input", "cache_write", "cache_write_1h")
_NANO: Final = Decimal("1e-9")

Rates = dict[str, Any]
"""Attributes of a price: nano-USD, and its bands and service tiers as rows keep them."""


@dataclass(frozen=True)
class Change:
    """What taking over the list price of one model would do to a book."""

    model: str
    old: Price | None
    rates: Rates

    @property
    def is_new(self) -> bool:
        return self.old is None


@dataclass
class Plan:
    """`unlisted`: models that the catalogue has no price of."""

    changes: list[Change] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Tells whether a plan is the one that was shown."""
        changes = [(c.model, c.old and c.old.pk, sorted(c.rates.items())) for c in self.changes]
        text = json.dumps(changes, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def list_rates(model: str, families: Iterable[str] = ()) -> Rates | None:
    """The catalogue's price of a provider's model; None when it has none."""
    for provider in dict.fromkeys([*families, *_KNOWN]):
        found = catalog.find_model(provider, model)
        if found is not None:
            rates: Rates = {f"{name}_nano": _nano(getattr(found, name)) for name in _LISTED}
            return rates | _more_of(found.conditions)
    return None


def _more_of(listed: ListConditions) -> Rates:
    """Only what the catalogue knows: what it does not is left as a book has it."""
    rates: Rates = {f"{name}_nano": _nano(usd) for name, usd in listed.more.items()}
    if listed.bands:
        rates["bands"] = _bands(listed.bands)
    tiers: dict[str, Any] = {}
    for name, card in listed.tiers.items():
        tiers[name] = {"rates": _card(card)}
        if bands := _bands(listed.tier_bands.get(name, {})):
            tiers[name]["bands"] = bands
    if tiers:
        rates["service_tiers"] = tiers
    return rates


def _bands(bands: Mapping[int, Mapping[str, Decimal]]) -> list[dict[str, Any]]:
    return [{"above": above, "rates": _card(card)} for above, card in bands.items() if card]


def _card(card: Mapping[str, Decimal]) -> dict[str, int | None]:
    return {name: _nano(usd) for name, usd in card.items()}


def plan_import(book: PriceBook, now: datetime) -> Plan:
    """What the catalogue says of all models that deployments use; nothing is changed."""
    families = _families()
    current = {price.model: price for price in book.prices.valid_at(now).of_all_deployments()}
    plan = Plan()
    for model in sorted(families):
        listed = list_rates(model, families[model])
        old = current.get(model)
        if listed is None:
            plan.unlisted.append(model)
        elif old is not None and all(getattr(old, name) == nano for name, nano in listed.items()):
            plan.unchanged.append(model)
        else:
            plan.changes.append(Change(model, old, listed))
    return plan


@transaction.atomic
def take_over(
    *, book: PriceBook, changes: Iterable[Change], models: Collection[str], now: datetime
) -> int:
    """Make the changes of these models. Old prices end, new ones begin now. How many did."""
    count = 0
    for change in changes:
        if change.model not in models:
            continue
        count += 1
        if change.old is not None:
            kept = {each.attribute: getattr(change.old, each.attribute) for each in RATES}
            services.succeed_price(
                price=change.old,
                rates=kept | change.rates,
                valid_to=change.old.valid_to,
                now=now,
            )
            continue
        later = book.prices.of_all_deployments().filter(model=change.model, valid_from__gt=now)
        services.start_price(
            book=book,
            model=change.model,
            rates=dict(change.rates),
            valid_from=now,
            valid_to=later.order_by("valid_from").values_list("valid_from", flat=True).first(),
        )
    return count


def doubt(attribute: str, nano: Any, listed: Any) -> str:
    """Why a rate looks like a slip, or nothing. A piece that is not billed is none."""
    if not isinstance(nano, int) or not isinstance(listed, int) or not listed:
        return ""
    if not nano and attribute.startswith("per_"):
        return ""
    if nano > listed * DOUBTFUL_FACTOR:
        return f"more than {DOUBTFUL_FACTOR} times"
    return "less than a tenth of" if nano * DOUBTFUL_FACTOR < listed else ""


def families_of(model: str) -> set[str]:
    """Families of the providers that deploy a model."""
    rows = Deployment.objects.filter(model=model).order_by()
    return set(rows.values_list("provider__family", flat=True).distinct())


def _families() -> dict[str, set[str]]:
    families: dict[str, set[str]] = {}
    rows = Deployment.objects.order_by().values_list("model", "provider__family").distinct()
    for model, family in rows:
        families.setdefault(model, set()).add(family)
    return families


def _nano(usd: Decimal | None) -> int | None:
    return None if usd is None else nano_from_usd(usd.quantize(_NANO, ROUND_HALF_UP))
