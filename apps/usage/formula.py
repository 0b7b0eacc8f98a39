"""What a request's row says it must have cost: its counts, its price version and its terms, put
through the same pure function that billed it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apps.billing import pricing, versions
from apps.billing.models import TierTerms
from apps.providers.adapters.contract import Usage
from apps.usage.models import RequestLog

_COLUMNS: Final = {field.name for field in RequestLog._meta.concrete_fields}
USAGE: Final = tuple(name for name in Usage.__struct_fields__ if name in _COLUMNS)


def usage_of(row: RequestLog) -> Usage:
    """The counts of a row as they were billed."""
    return Usage(**{name: getattr(row, name) or 0 for name in USAGE})


def service_tier_of(row: RequestLog) -> str:
    return str(row.service_tier or "")


def bill(row: RequestLog, price: pricing.Price, terms: pricing.Terms) -> pricing.Bill:
    """What the row's counts cost by a price and are charged by terms."""
    at_s = row.started_at.timestamp()
    return pricing.bill(usage_of(row), price, terms, service_tier_of(row), at_s)


def explain(row: RequestLog, price: pricing.Price, terms: pricing.Terms) -> list[pricing.Line]:
    """The same, line by line."""
    at_s = row.started_at.timestamp()
    return pricing.explain(usage_of(row), price, terms, service_tier_of(row), at_s)


class Versions:
    """What rows were billed by, read once each."""

    def __init__(self) -> None:
        self._known = versions.Versions()
        self._unchanged: dict[int, pricing.Terms | None] = {}

    def load(self, rows: Iterable[RequestLog]) -> None:
        """Read what these rows name, in two queries at most."""
        rows = list(rows)
        self._known.load(
            price_ids={row.price_id or 0 for row in rows},
            terms_ids={row.terms_id or 0 for row in rows},
        )

    def price_of(self, row: RequestLog) -> pricing.Price | None:
        """None: it was not priced, or the version is gone."""
        return self._known.price(row.price_id or 0)

    def terms_of(self, row: RequestLog) -> pricing.Terms | None:
        """None: nobody knows any more. Of a row from before rows named their terms that is so when
        its tier has changed since."""
        if row.terms_id or row.markup_ppm is not None:
            return self._known.terms(
                row.terms_id or 0, tier_id=row.tier_id or 0, markup_ppm=row.markup_ppm or 0
            )
        return self._of_tier(row.tier_id) if row.tier_id else pricing.Terms()

    def _of_tier(self, tier_id: int) -> pricing.Terms | None:
        if tier_id not in self._unchanged:
            ids = list(TierTerms.objects.filter(tier_id=tier_id).values_list("pk", flat=True)[:2])
            self._unchanged[tier_id] = self._known.terms(ids[0]) if len(ids) == 1 else None
        return self._unchanged[tier_id]
