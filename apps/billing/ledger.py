"""The ledger: double entries for what requests cost, and their corrections.

An account that gives has a negative amount, one that receives a positive one; the entries of
one (request, number) sum to zero. Number 0 is the charge. Number 1 is a settlement that the
journal brought after the request had been booked as interrupted. From 2 on people correct.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, cast
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import Max

from apps.billing import budget_windows, shared_limits
from apps.billing.models import LedgerEntry
from chatvault.lib import clock

CHARGE: Final = "charge"
ADJUSTMENT: Final = "adjustment"
LATE_SETTLEMENT: Final = 1


class LedgerRow(msgspec.Struct, frozen=True):
    """One entry as its table has it. Times are text, since they are made by the thousand."""

    request_id: str  # 32 hex digits
    number: int
    account: str
    kind: str
    amount_nano: int
    client_id: int
    team_id: int
    key_id: int
    provider_name: str
    booked_at: str
    created_at: str
    author_name: str = ""
    reason: str = ""


class Parties(msgspec.Struct, frozen=True):
    """Whom the entries of one request concern, and when they count."""

    request_id: str
    client_id: int
    team_id: int
    key_id: int
    provider_name: str
    booked_at: str


def charge_entries(
    parties: Parties, *, cost_nano: int, charged_nano: int, created_at: str
) -> list[LedgerRow]:
    """The entries of a settlement: the client's always, the others when they are not zero."""
    amounts = _split(cost_nano, charged_nano)
    if not charged_nano:
        amounts.insert(0, ("client", 0))
    return [
        _row(parties, 0, account, amount, created_at=created_at, reason="")
        for account, amount in amounts
    ]


def late_entries(
    parties: Parties, *, cost_delta: int, charged_delta: int, created_at: str, reason: str
) -> list[LedgerRow]:
    """What a late settlement changes; nothing when it changes nothing."""
    return [
        _row(parties, LATE_SETTLEMENT, account, amount, created_at=created_at, reason=reason)
        for account, amount in _split(cost_delta, charged_delta)
    ]


@transaction.atomic
def adjust(
    *, request_id: UUID, charged_delta: int, cost_delta: int = 0, author: str, reason: str
) -> list[LedgerEntry]:
    """Correct what a request was charged and cost by these nano-USD; budgets follow.

    Raises LedgerEntry.DoesNotExist for a request that was never booked, ValueError when the
    author or the reason is missing or the client would get more back than was charged.
    """
    if not author or not reason:
        raise ValueError("An adjustment names its author and its reason.")
    budget_windows.lock()
    booked = LedgerEntry.objects.filter(request_id=request_id)
    first = booked.get(number=0, account=LedgerEntry.Account.CLIENT)
    clients = booked.filter(account=LedgerEntry.Account.CLIENT)
    charged = -sum(clients.values_list("amount_nano", flat=True))
    if charged + charged_delta < 0:
        raise ValueError("An adjustment cannot give back more than was charged.")
    last = cast(int, booked.aggregate(last=Max("number"))["last"])
    entries = [
        LedgerEntry(
            request_id=request_id,
            number=max(last, LATE_SETTLEMENT) + 1,
            account=account,
            kind=ADJUSTMENT,
            amount_nano=amount,
            client_id=first.client_id,
            team_id=first.team_id,
            key_id=first.key_id,
            provider_name=first.provider_name,
            booked_at=first.booked_at,
            author_name=author,
            reason=reason,
        )
        for account, amount in _split(cost_delta, charged_delta)
    ]
    LedgerEntry.objects.bulk_create(entries)
    at_s = int(first.booked_at.timestamp())
    charge = budget_windows.Charge(
        first.team_id, first.client_id, first.key_id, at_s, charged_delta
    )
    shared_limits.post_after_commit(budget_windows.book([charge], clock.now()))
    return entries


def as_text(at: datetime) -> str:
    """An instant as both databases compare it: UTC, without a zone."""
    return str(at.astimezone(UTC).replace(tzinfo=None))


def _split(cost_delta: int, charged_delta: int) -> list[tuple[str, int]]:
    amounts = (
        ("client", -charged_delta),
        ("provider", cost_delta),
        ("margin", charged_delta - cost_delta),
    )
    return [(account, amount) for account, amount in amounts if amount]


def _row(
    parties: Parties, number: int, account: str, amount_nano: int, *, created_at: str, reason: str
) -> LedgerRow:
    kind = ADJUSTMENT if number else CHARGE
    return LedgerRow(
        parties.request_id,
        number,
        account,
        kind,
        amount_nano,
        parties.client_id,
        parties.team_id,
        parties.key_id,
        parties.provider_name,
        parties.booked_at,
        created_at,
        reason=reason,
    )
