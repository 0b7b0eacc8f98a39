"""What a request's row says it must have cost: its counts, its price version and its terms, put
through the same pure function that billed it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apps.billing import pricing
from apps.billing.models import Price, PricingTier
from apps.providers.adapters.contract import Usage
from apps.usage.models import RequestLog

_COLUMNS: Final = {field.name for field in RequestLog._meta.concrete_fields}
USAGE: Final = tuple(name for name in Usage.__struct_fields__ if name in _COLUMNS)


def usage_of(row: RequestLog) -> Usage:
    """The counts of a row as they were billed."""
    return Usage(**{name: getattr(row, name) or 0 for name in USAGE})


def service_tier_of(row: RequestLog) -> str:
    return str(getattr(row, "service_tier", ""))


def bill(row: RequestLog, price: pricing.Price, terms: pricing.Terms) -> pricing.Bill:
    """What the row's counts cost by a price and are charged by terms."""
    at_s = row.started_at.timestamp()
    return pricing.bill(usage_of(row), price, terms, service_tier_of(row), at_s)


def explain(row: RequestLog, price: pricing.Price, terms: pricing.Terms) -> list[pricing.Line]:
    """The same, line by line."""
    at_s = row.started_at.timestamp()
    return pricing.explain(usage_of(row), price, terms, service_tier_of(row), at_s)


class Versions:
    """Price versions and terms by id; each is read once, those that are gone as well."""

    def __init__(self) -> None:
        self._prices: dict[int, pricing.Price | None] = {}
        self._tiers: dict[int, pricing.Terms | None] = {}

    def load(self, rows: Iterable[RequestLog]) -> None:
        """Read what these rows name, in two queries at most."""
        rows = list(rows)
        prices = {row.price_id for row in rows if row.price_id} - self._prices.keys()
        if prices:
            self._prices |= dict.fromkeys(prices)
            self._prices |= {one.pk: one.version() for one in Price.objects.filter(pk__in=prices)}
        tiers = {row.tier_id for row in rows if row.tier_id} - self._tiers.keys()
        if tiers:
            self._tiers |= dict.fromkeys(tiers)
            found = PricingTier.objects.filter(pk__in=tiers).select_related("current_terms")
            self._tiers |= {one.pk: terms_of(one) for one in found}

    def price_of(self, row: RequestLog) -> pricing.Price | None:
        """None: it was not priced, or the version is gone."""
        return self._prices.get(row.price_id or 0)

    def terms_of(self, row: RequestLog) -> pricing.Terms | None:
        """None: the terms are gone. A row without a tier was charged what it cost."""
        if not row.tier_id:
            return pricing.Terms()
        return self._tiers.get(row.tier_id)


def terms_of(tier: PricingTier) -> pricing.Terms:
    """The terms of a tier as they are now."""
    return tier.terms()
