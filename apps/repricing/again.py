"""What a request costs and is charged when it is priced again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from apps.accounts.models import Client
from apps.billing import pricing
from apps.billing.models import Price, PricingTier
from apps.providers.models import Deployment
from apps.repricing.models import Repricing
from apps.usage import formula
from apps.usage.models import RequestLog

_NOTHING_USED: Final = RequestLog.UsageSource.NONE
_Prices = dict[tuple[int, str, int | None], list[pricing.Price]]


class Again(msgspec.Struct, frozen=True):
    """A request priced again. `price` is None where nothing prices its model."""

    model: str
    price: pricing.Price | None
    terms: pricing.Terms
    cost_nano: int = 0
    charged_nano: int = 0


def is_left_out(row: RequestLog) -> bool:
    """Requests without an answer were charged nothing. What an interrupted one used is only in
    the settlement that may have come late, which the ledger has and the row has not."""
    return row.outcome == RequestLog.Outcome.INTERRUPTED or row.usage_source == _NOTHING_USED


class Pricer:
    """Prices and terms as they are now, read once: `versions` tells whether they changed since."""

    def __init__(self, repricing: Repricing) -> None:
        self._asked = repricing
        tiers = PricingTier.objects.select_related("current_terms")
        self._tiers = {tier.pk: tier for tier in tiers}
        self._current: dict[int, pricing.Terms] = {}
        self._tier_of_client = dict(Client.objects.values_list("pk", "tier_id"))
        self._models = dict(Deployment.objects.values_list("pk", "model"))
        self._by_id: dict[int, pricing.Price] = {}
        self._versions = formula.Versions()
        self._prices = self._load()
        chosen = repricing.terms if repricing.basis == Repricing.Basis.TERMS else None
        self._chosen = (chosen.version(), chosen.book_id) if chosen else None
        self._at_s = int(repricing.prices_at.timestamp()) if repricing.prices_at else None

    def again(self, row: RequestLog) -> Again:
        """Raises nothing: a request whose model has no price keeps what it was charged."""
        model = self.model_of(row)
        terms, book_id = self._terms(row)
        at_s = int(row.started_at.timestamp())
        book_id = self._asked.book_id or book_id
        price = self._price(book_id, row, model, self._at_s if self._at_s is not None else at_s)
        if price is None:
            return Again(model, None, terms)
        bill = formula.bill(row, price, terms)
        return Again(model, price, terms, bill.cost_nano, bill.charged_nano)

    def model_of(self, row: RequestLog) -> str:
        """As the provider calls it; where the deployment is gone, as it was priced."""
        known = self._models.get(row.deployment_id or 0)
        if known is None and row.price_id in self._by_id:
            known = self._by_id[row.price_id].model
        return known or ""

    def original(self, row: RequestLog) -> tuple[pricing.Price | None, pricing.Terms]:
        """By what it was charged."""
        return self._by_id.get(row.price_id or 0), self._own_terms(row)

    def versions(self) -> str:
        """A digest of everything that decides a price here."""
        prices = [msgspec.structs.astuple(price) for price in self._by_id.values()]
        tiers = [
            (tier.pk, tier.price_book_id, str(tier.markup_percent)) for tier in self._tiers.values()
        ]
        told = repr((sorted(prices), sorted(tiers), sorted(self._models.items())))
        return hashlib.sha256(told.encode()).hexdigest()

    def _load(self) -> _Prices:
        found: _Prices = defaultdict(list)
        for row in Price.objects.order_by("-valid_from", "-pk").iterator():
            try:
                version = row.version()
            except ValueError:  # damaged: nothing is priced by it
                continue
            self._by_id[row.pk] = version
            found[row.book_id, row.model, version.deployment_id].append(version)
        return found

    def _terms(self, row: RequestLog) -> tuple[pricing.Terms, int | None]:
        """And whose book they are for. A request that was not priced gets its client's."""
        if self._chosen is not None:
            return self._chosen
        tier = self._tiers.get(row.tier_id or self._tier_of_client.get(row.client_id) or 0)
        book_id = tier.price_book_id if tier else None
        if row.tier_id:
            return self._own_terms(row), book_id
        return (self._terms_of(tier) if tier else pricing.Terms()), book_id

    def _own_terms(self, row: RequestLog) -> pricing.Terms:
        """By what it was charged; where nobody knows any more, what its tier says now."""
        self._versions.load([row])
        known = self._versions.terms_of(row)
        tier = self._tiers.get(row.tier_id or 0)
        return known or (self._terms_of(tier) if tier else pricing.Terms())

    def _terms_of(self, tier: PricingTier) -> pricing.Terms:
        if tier.pk not in self._current:
            self._current[tier.pk] = tier.terms()
        return self._current[tier.pk]

    def _price(
        self, book_id: int | None, row: RequestLog, model: str, at_s: int
    ) -> pricing.Price | None:
        """One for the deployment comes before one for its model."""
        for key in ((book_id or 0, model, row.deployment_id), (book_id or 0, model, None)):
            for version in self._prices.get(key, ()):
                if version.valid_from_s <= at_s:
                    if version.valid_to_s is None or at_s < version.valid_to_s:
                        return version
                    break
        return None


def names_of(model: Any, ids: Iterable[int]) -> dict[int, str]:
    """By id: the names of rows that are still there."""
    return dict(model._default_manager.filter(pk__in=set(ids)).values_list("pk", "name"))
