"""The ledger: double entries for what requests cost, and their corrections.

An account that gives has a negative amount, one that receives a positive one; the entries of
one (request, number) sum to zero. Number 0 is the charge. Number 1 is a settlement that the
journal brought after the request had been booked as interrupted. From 2 on people correct.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from apps.billing.adjustments import (
    ADJUSTMENT,
    LATE_SETTLEMENT,
    STANDING,
    Corrected,
    Correction,
    PeriodClosed,
    Standing,
    adjust,
    adjust_many,
    closed_within,
    split,
)

__all__ = [
    "ADJUSTMENT",
    "CHARGE",
    "LATE_SETTLEMENT",
    "STANDING",
    "Corrected",
    "Correction",
    "LedgerRow",
    "Parties",
    "PeriodClosed",
    "Standing",
    "adjust",
    "adjust_many",
    "as_text",
    "charge_entries",
    "closed_within",
    "late_entries",
    "split",
]

CHARGE: Final = "charge"


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
    user_id: int | None = None
    alias: str = ""
    provider_id: int | None = None
    tags: str | None = None  # a JSON object


class Parties(msgspec.Struct, frozen=True):
    """Whom the entries of one request concern, and when they count."""

    request_id: str
    client_id: int
    team_id: int
    key_id: int
    provider_name: str
    booked_at: str
    user_id: int | None = None
    alias: str = ""
    provider_id: int | None = None
    tags: str | None = None  # a JSON object


def charge_entries(
    parties: Parties, *, cost_nano: int, charged_nano: int, created_at: str
) -> list[LedgerRow]:
    """The entries of a settlement: the client's always, the others when they are not zero."""
    amounts = split(cost_nano, charged_nano)
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
        for account, amount in split(cost_delta, charged_delta)
    ]


def as_text(at: datetime) -> str:
    """An instant as both databases compare it: UTC, without a zone."""
    return str(at.astimezone(UTC).replace(tzinfo=None))


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
        "",
        reason,
        parties.user_id,
        parties.alias,
        parties.provider_id,
        parties.tags,
    )
