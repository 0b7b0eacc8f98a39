from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from apps.billing.models import SCOPES, Budget, LedgerEntry, Price, PriceBook, PricingTier, Quota
from chatvault.lib import clock, ids
from tests.factories.accounts import make_client
from tests.factories.numbers import unique

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def make_price_book(**fields: Any) -> PriceBook:
    return PriceBook.objects.create(**{"name": unique("book")} | fields)


def make_price(**fields: Any) -> Price:
    """By default 0.15 USD in and 0.60 USD out per 1 M tokens, since long ago."""
    fields["book"] = fields.get("book") or make_price_book()
    defaults = {
        "model": "gpt-4o-mini",
        "valid_from": LONG_AGO,
        "input_nano": 150_000_000,
        "output_nano": 600_000_000,
    }
    return Price.objects.create(**defaults | fields)


def make_tier(**fields: Any) -> PricingTier:
    fields["price_book"] = fields.get("price_book") or make_price_book()
    return PricingTier.objects.create(**{"name": unique("tier")} | fields)


def _scoped(fields: dict[str, Any]) -> dict[str, Any]:
    if not set(SCOPES) & set(fields):
        fields["client"] = make_client()
    return fields


def make_quota(**fields: Any) -> Quota:
    """By default 60 requests a minute of a new client; or give what it is on."""
    return Quota.objects.create(**{"unit": "requests", "ceiling": 60} | _scoped(fields))


def make_budget(**fields: Any) -> Budget:
    """By default 10 USD a month of a new client; give team, client or key."""
    return Budget.objects.create(**{"amount_nano": 10_000_000_000} | _scoped(fields))


def make_ledger_entry(**fields: Any) -> LedgerEntry:
    defaults = {
        "request_id": ids.uuid7(),
        "account": LedgerEntry.Account.CLIENT,
        "amount_nano": -1_000,
        "client_id": 1,
        "team_id": 1,
        "key_id": 1,
        "booked_at": clock.now(),
    }
    return LedgerEntry.objects.create(**defaults | fields)
