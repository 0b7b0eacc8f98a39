"""Corrections of what requests were charged and cost: new entries, booked in batches.

A batch is named by its cause (`repricing:12`). A request is corrected once by a batch, however
often the batch is booked: whoever was stopped in the middle books it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import Max, Q, Sum

from apps.billing import budget_windows, shared_limits
from apps.billing.models import ClosedPeriod, LedgerEntry
from chatvault.lib import clock
from chatvault.lib.errors import PeriodClosed

ADJUSTMENT: Final = "adjustment"
LATE_SETTLEMENT: Final = 1
STANDING: Final = "standing:"  # how batches of standing amounts begin
CHUNK: Final = 500
Follower = Callable[[Sequence[LedgerEntry]], None]
_followers: list[Follower] = []
_PARTIES: Final = (
    "team_id",
    "client_id",
    "key_id",
    "provider_name",
    "user_id",
    "alias",
    "provider_id",
    "tags",
)
"""What an adjustment has from the charge that it corrects, besides the time."""


class Correction(msgspec.Struct, frozen=True):
    """By how much one request was charged and cost wrongly, in nano-USD."""

    request_id: UUID
    charged_delta: int = 0
    cost_delta: int = 0
    reason: str = ""  # empty: the batch's


class Standing(msgspec.Struct, frozen=True):
    """An amount that belongs to no single request, such as a rebate: whom it concerns and when it
    counts. Its id is made by whoever books it, always the same for the same amount."""

    standing_id: UUID
    team_id: int
    client_id: int
    key_id: int
    provider_name: str
    booked_at: datetime
    charged_delta: int = 0
    cost_delta: int = 0
    reason: str = ""
    user_id: int | None = None
    alias: str = ""
    provider_id: int | None = None
    tags: dict[str, str] | None = None


class Corrected(msgspec.Struct, frozen=True):
    """What a batch did."""

    booked: int = 0
    repeated: int = 0  # booked by an earlier run of the same batch
    cost_nano: int = 0
    charged_nano: int = 0


def follow(follower: Follower) -> None:
    """Have it called with the entries of each chunk, in the transaction that books them."""
    _followers.append(follower)


def adjust(
    *,
    request_id: UUID,
    charged_delta: int,
    cost_delta: int = 0,
    author: str,
    reason: str,
    batch_id: str = "",
    booked_at: datetime | None = None,
) -> list[LedgerEntry]:
    """Correct what a request was charged and cost by these nano-USD; budgets follow.

    Raises LedgerEntry.DoesNotExist for a request that was never booked, ValueError when the
    author or the reason is missing or more would be given back than was booked, PeriodClosed
    when the books of its time are closed and no open `booked_at` is given.
    """
    _check(author, reason)
    one = Correction(request_id, charged_delta, cost_delta)
    return _book([one], _Batch(batch_id, author, reason, booked_at))[0]


def adjust_many(
    corrections: Iterable[Correction | Standing],
    *,
    batch_id: str,
    author: str,
    reason: str,
    booked_at: datetime | None = None,
    chunk: int = CHUNK,
    progress: Callable[[int], None] = lambda done: None,
) -> Corrected:
    """Book many corrections of one cause, a transaction for each `chunk` of them.

    A request that this batch corrected already is passed over, so a run that was stopped is
    finished by running it again. `booked_at` dates all of them (a credit note); else each counts
    when its request did. Raises as `adjust` does: then its chunk is not booked, those before are.
    """
    _check(author, reason)
    if not batch_id:
        raise ValueError("A batch of adjustments has an id.")
    batch = _Batch(batch_id, author, reason, booked_at)
    booked = repeated = cost = charged = done = 0
    left = iter(corrections)
    while some := list(islice(left, chunk)):
        entries, known = _book(some, batch)
        done += len(some)
        repeated += known
        booked += len({entry.request_id for entry in entries})
        cost += sum(e.amount_nano for e in entries if e.account == LedgerEntry.Account.PROVIDER)
        charged -= sum(e.amount_nano for e in entries if e.account == LedgerEntry.Account.CLIENT)
        progress(done)
    return Corrected(booked, repeated, cost, charged)


def split(cost_delta: int, charged_delta: int) -> list[tuple[str, int]]:
    """The double entry of a change of cost and charge; accounts that do not move are left out."""
    amounts = (
        ("client", -charged_delta),
        ("provider", cost_delta),
        ("margin", charged_delta - cost_delta),
    )
    return [(account, amount) for account, amount in amounts if amount]


class _Batch(msgspec.Struct, frozen=True):
    batch_id: str
    author: str
    reason: str
    booked_at: datetime | None


class _Booked(msgspec.Struct):
    """What the ledger has of one request."""

    parties: dict[str, Any]
    at: datetime
    charged: int = 0
    cost: int = 0
    last: int = 0


def _check(author: str, reason: str) -> None:
    if not author or not reason:
        raise ValueError("An adjustment names its author and its reason.")


@transaction.atomic
def _book(
    corrections: Sequence[Correction | Standing], batch: _Batch
) -> tuple[list[LedgerEntry], int]:
    """One chunk: the entries that were added, and how many corrections were there already."""
    budget_windows.lock()
    by_id = {_id_of(one): one for one in corrections}
    if len(by_id) != len(corrections):
        raise ValueError("A batch corrects a request once.")
    known = _known(batch.batch_id, by_id)
    fresh = {key: one for key, one in by_id.items() if key not in known}
    booked = _booked(fresh)
    entries: list[LedgerEntry] = []
    for one in fresh.values():
        entries += _entries(one, _found(booked, one, batch.batch_id), batch)
    _refuse_closed(entries)
    LedgerEntry.objects.bulk_create(entries)
    for follower in _followers:
        follower(entries)
    charges = [_charge(entry) for entry in entries if entry.account != LedgerEntry.Account.MARGIN]
    shared_limits.post_after_commit(budget_windows.book(charges, clock.now()))
    return entries, len(known)


def _id_of(one: Correction | Standing) -> UUID:
    return one.standing_id if isinstance(one, Standing) else one.request_id


def _known(batch_id: str, ids: Iterable[UUID]) -> set[UUID]:
    if not batch_id:
        return set()
    rows = LedgerEntry.objects.filter(request_id__in=list(ids), batch_id=batch_id)
    return set(rows.values_list("request_id", flat=True))


def _booked(ids: Iterable[UUID]) -> dict[UUID, _Booked]:
    rows = LedgerEntry.objects.filter(request_id__in=list(ids)).order_by()
    first = rows.filter(number=0, account=LedgerEntry.Account.CLIENT)
    found = {
        row["request_id"]: _Booked({name: row[name] for name in _PARTIES}, row["booked_at"])
        for row in first.values("request_id", "booked_at", *_PARTIES)
    }
    sums = rows.values("request_id", "account").annotate(
        total=Sum("amount_nano"), last=Max("number")
    )
    for row in sums:
        one = found.get(row["request_id"])
        if one is None:
            one = found[row["request_id"]] = _Booked({}, clock.now())
        one.last = max(one.last, row["last"])
        if row["account"] == LedgerEntry.Account.CLIENT:
            one.charged = -int(row["total"])
        elif row["account"] == LedgerEntry.Account.PROVIDER:
            one.cost = int(row["total"])
    return found


def _found(booked: dict[UUID, _Booked], one: Correction | Standing, batch_id: str) -> _Booked:
    if isinstance(one, Standing):
        if not batch_id.startswith(STANDING):
            raise ValueError(f"A batch of standing amounts begins with {STANDING}")
        parties = {name: getattr(one, name) for name in _PARTIES}
        last = booked[one.standing_id].last if one.standing_id in booked else 0
        return _Booked(parties, one.booked_at, last=last)
    found = booked.get(one.request_id)
    if found is None or not found.parties:
        raise LedgerEntry.DoesNotExist(f"The request {one.request_id} was never booked.")
    if found.charged + one.charged_delta < 0:
        raise ValueError(
            f"An adjustment cannot give back more than was charged (request {one.request_id})."
        )
    if found.cost + one.cost_delta < 0:
        raise ValueError(f"A request cannot cost less than nothing (request {one.request_id}).")
    return found


def _entries(one: Correction | Standing, booked: _Booked, batch: _Batch) -> list[LedgerEntry]:
    return [
        LedgerEntry(
            request_id=_id_of(one),
            number=max(booked.last, LATE_SETTLEMENT) + 1,
            account=account,
            kind=ADJUSTMENT,
            amount_nano=amount,
            booked_at=batch.booked_at or booked.at,
            author_name=batch.author[:150],
            reason=(one.reason or batch.reason)[:255],
            batch_id=batch.batch_id,
            **booked.parties,
        )
        for account, amount in split(one.cost_delta, one.charged_delta)
    ]


def _charge(entry: LedgerEntry) -> budget_windows.Charge:
    at_s = int(entry.booked_at.timestamp())
    is_cost = entry.account == LedgerEntry.Account.PROVIDER
    return budget_windows.Charge(
        entry.team_id,
        entry.client_id,
        entry.key_id,
        at_s,
        0 if is_cost else -entry.amount_nano,
        entry.user_id or 0,
        entry.alias,
        entry.provider_id or 0,
        tuple((entry.tags or {}).items()),
        entry.amount_nano if is_cost else 0,
    )


def _refuse_closed(entries: list[LedgerEntry]) -> None:
    """In the transaction that books: whoever closes a period takes the same lock."""
    if not entries:
        return
    first, last = min(e.booked_at for e in entries), max(e.booked_at for e in entries)
    closed = list(ClosedPeriod.objects.filter(starts_at__lte=last, ends_at__gt=first))
    for entry in entries if closed else ():
        for period in closed:
            if period.holds(entry.team_id, entry.booked_at):
                raise PeriodClosed(
                    f"The books of {period} are closed: {entry.booked_at:%Y-%m-%d} cannot be "
                    "changed any more. Book it as a credit note, which is dated now."
                )


def closed_within(
    starts_at: datetime, ends_at: datetime, team_ids: Iterable[int] | None = None
) -> list[ClosedPeriod]:
    """The closed periods that a range touches, of these teams or of any."""
    found = ClosedPeriod.objects.filter(starts_at__lt=ends_at, ends_at__gt=starts_at)
    if team_ids is not None:
        found = found.filter(Q(team_id=None) | Q(team_id__in=list(team_ids)))
    return list(found)
