"""The versions by which a request was billed, read once each: to bill again what was billed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from apps.billing import pricing
from apps.billing.models import Price, TierTerms


class Versions:
    """Price versions and terms by their ids. Damaged rows count as not there."""

    def __init__(self) -> None:
        self._prices: dict[int, pricing.Price | None] = {}
        self._terms: dict[int, pricing.Terms | None] = {}

    def load(self, *, price_ids: Iterable[int], terms_ids: Iterable[int] = ()) -> None:
        """Read what is not known yet, in at most two queries."""
        if wanted := set(price_ids) - self._prices.keys() - {0}:
            self._prices |= dict.fromkeys(wanted)
            for row in Price.objects.filter(pk__in=wanted):
                with suppress(ValueError):
                    self._prices[row.pk] = row.version()
        if wanted := set(terms_ids) - self._terms.keys() - {0}:
            self._terms |= dict.fromkeys(wanted)
            for terms in TierTerms.objects.filter(pk__in=wanted):
                with suppress(ValueError):
                    self._terms[terms.pk] = terms.version()

    def price(self, price_id: int) -> pricing.Price | None:
        self.load(price_ids=(price_id,))
        return self._prices.get(price_id)

    def terms(self, terms_id: int, *, tier_id: int = 0, markup_ppm: int = 0) -> pricing.Terms:
        """The version of a tier; of requests from before there were versions, the mark-up that
        their rows have."""
        self.load(price_ids=(), terms_ids=(terms_id,))
        return self._terms.get(terms_id) or pricing.Terms(tier_id, markup_ppm)
