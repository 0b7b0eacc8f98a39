"""What a month's volume gives back, booked as standing adjustments.

A rebate is spread over the hourly sums that it is for, so that budgets, reports and statements
follow it to the hour, key, person and model. Only what differs from what is booked already is
booked: late requests and corrected prices change a rebate, running it again does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
from django.db.models import Max, Sum
from django.db.models.functions import TruncHour

from apps.accounts.models import Client
from apps.billing import ledger, price_parts
from apps.billing.ledger import Standing
from apps.billing.models import LedgerEntry, Price, PricingTier
from apps.billing.pricing.volume import Schedule, rebate
from apps.providers.adapters.contract import Usage
from apps.providers.models import Deployment, Provider
from apps.usage.models import HourlyRollup
from chatvault.lib import clock

AUTHOR: Final = "volume"
_NAMESPACE: Final = UUID("a8a0f0c2-6d3b-5c52-9c0b-6f2f3a1f5d10")
_COLUMNS: Final = {field.name for field in HourlyRollup._meta.concrete_fields}
_USAGE: Final = tuple(name for name in Usage.__struct_fields__ if name in _COLUMNS)
_Group = tuple[datetime, int, int, str, int]
"""Hour, key, person, alias and provider: as far as the ledger tells entries apart."""


class Rebate(msgspec.Struct, frozen=True):
    """What one client's month came to."""

    tokens: int = 0
    target_nano: int = 0  # what is given back in all, never positive
    booked_nano: int = 0  # what this run added
    entries: int = 0


class _Share(msgspec.Struct):
    """The part of one hourly sum."""

    row: HourlyRollup
    target_nano: int
    why: str


def book_month(month: datetime, progress: Callable[[int, int], None]) -> int:
    """Book what every client's volume of a month gives back; returns how many amounts changed.

    `month` is its first instant in UTC; one that has not ended is refused with ValueError.
    """
    start, end = bounds_of(month)
    if end > clock.now():
        raise ValueError(f"The month {start:%Y-%m} has not ended.")
    clients = list(Client.objects.filter(tier__isnull=False).select_related("tier").order_by("pk"))
    count = 0
    for number, client in enumerate(clients):
        progress(number, len(clients))
        count += book_client(client, start).entries
    progress(len(clients), len(clients))
    return count


def book_client(client: Client, month: datetime) -> Rebate:
    """Book the difference between what one client's month gives back and what is booked of it."""
    start, end = bounds_of(month)
    shares, tokens = _shares(client, start, end)
    batch = f"{ledger.STANDING}volume:{start:%Y-%m}:{client.pk}:"
    booked = _booked(batch)
    standing = list(_differences(client, start, shares, booked))
    if not standing:
        return Rebate(tokens, sum(share.target_nano for share in shares.values()))
    closed = ledger.closed_within(start, end, [client.team_id])
    done = ledger.adjust_many(
        standing,
        batch_id=f"{batch}{_next_run(batch)}",
        author=AUTHOR,
        reason=f"volume tier, {start:%Y-%m}",
        booked_at=clock.now() if closed else None,
    )
    target = sum(share.target_nano for share in shares.values())
    return Rebate(tokens, target, done.charged_nano, done.booked)


def bounds_of(month: datetime) -> tuple[datetime, datetime]:
    """The first instant of the month, and of the next one."""
    start = month.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if start.month == 12:
        return start, start.replace(year=start.year + 1, month=1)
    return start, start.replace(month=start.month + 1)


def _shares(client: Client, start: datetime, end: datetime) -> tuple[dict[UUID, _Share], int]:
    """By id of the standing amount, of the models that have a schedule."""
    models = dict(Deployment.objects.values_list("pk", "model"))
    by_model: dict[str, list[HourlyRollup]] = defaultdict(list)
    rows = HourlyRollup.objects.filter(client_id=client.pk, hour__gte=start, hour__lt=end)
    for row in rows.order_by("hour", "pk"):
        by_model[models.get(row.deployment_id, "")].append(row)
    corrected = _corrections(client, start, end)
    found: dict[UUID, _Share] = {}
    tokens = 0
    for model, sums in sorted(by_model.items()):
        schedule = schedule_of(client, model, end)
        if schedule is None:
            continue
        totals = [(row, _usage(row), _charged(row, corrected)) for row in sums]
        volume = sum(usage.input_tokens + usage.output_tokens for _, usage, _ in totals)
        tokens += volume
        why = f"volume tier, {start:%Y-%m}: {volume:,} tokens of {model}"
        numbered = [(place, usage, charged) for place, (_, usage, charged) in enumerate(totals)]
        for place, amount in rebate(schedule, numbered):
            if amount:
                row = totals[place][0]
                found[_id_of(row)] = _Share(row, amount, why)
    return found, tokens


def schedule_of(client: Client, model: str, end: datetime) -> Schedule | None:
    """The tier's own; else that of the model's price at the end of the month."""
    tier: PricingTier | None = client.tier
    if tier is None or not model:
        return None
    own = price_parts.schedule_of(tier.volume)
    if own is not None:
        return own
    prices = Price.objects.filter(book_id=tier.price_book_id, model=model, valid_from__lt=end)
    price = prices.filter(deployment=None).order_by("-valid_from").first()
    return price_parts.schedule_of(price.volume) if price is not None else None


def _usage(row: HourlyRollup) -> Usage:
    return Usage(**{name: int(getattr(row, name)) for name in _USAGE})


def _corrections(client: Client, start: datetime, end: datetime) -> dict[_Group, int]:
    """By how much requests of the month were corrected, without rebates."""
    entries = LedgerEntry.objects.filter(
        kind=LedgerEntry.Kind.ADJUSTMENT,
        account=LedgerEntry.Account.CLIENT,
        client_id=client.pk,
        booked_at__gte=start,
        booked_at__lt=end,
    ).exclude(batch_id__startswith=ledger.STANDING)
    dated = entries.order_by().annotate(hour=TruncHour("booked_at"))
    groups = dated.values("hour", "key_id", "user_id", "alias", "provider_id")
    found: dict[_Group, int] = defaultdict(int)
    for row in groups.annotate(total=Sum("amount_nano")):
        key = (
            row["hour"], row["key_id"], row["user_id"] or 0, row["alias"], row["provider_id"] or 0
        )  # fmt: skip
        found[key] -= int(row["total"])
    return found


def _charged(row: HourlyRollup, corrected: dict[_Group, int]) -> int:
    """With the corrections of its group, which are taken once; never below nothing."""
    key = (row.hour, row.key_id, row.user_id, row.alias, row.provider_id)
    return max(row.charged_nano + corrected.pop(key, 0), 0)


def _id_of(row: HourlyRollup) -> UUID:
    """The same for the same hourly sum."""
    parts = (
        row.client_id, f"{row.hour:%Y-%m-%dT%H}", row.key_id, row.user_id, row.alias,
        row.deployment_id, row.provider_id,
    )  # fmt: skip
    return uuid5(_NAMESPACE, "|".join(map(str, parts)))


def _booked(batch: str) -> dict[UUID, int]:
    """What is given back already, by standing amount."""
    entries = LedgerEntry.objects.filter(
        batch_id__startswith=batch, account=LedgerEntry.Account.CLIENT
    )
    sums = entries.order_by().values("request_id").annotate(total=Sum("amount_nano"))
    return {row["request_id"]: -int(row["total"]) for row in sums}


def _differences(
    client: Client, start: datetime, shares: dict[UUID, _Share], booked: dict[UUID, int]
) -> Iterator[Standing]:
    providers = dict(Provider.objects.values_list("pk", "name"))
    for one, share in shares.items():
        difference = share.target_nano - booked.get(one, 0)
        if difference:
            row = share.row
            yield Standing(
                one,
                row.team_id,
                client.pk,
                row.key_id,
                providers.get(row.provider_id, ""),
                row.hour,
                charged_delta=difference,
                reason=share.why[:255],
                user_id=row.user_id or None,
                alias=row.alias,
                provider_id=row.provider_id or None,
            )
    gone = [one for one, amount in booked.items() if amount and one not in shares]
    for entry in _first_entries(gone):
        yield Standing(
            entry.request_id,
            entry.team_id,
            client.pk,
            entry.key_id,
            entry.provider_name,
            entry.booked_at,
            charged_delta=-booked[entry.request_id],
            reason=f"volume tier, {start:%Y-%m}: no longer due",
            user_id=entry.user_id,
            alias=entry.alias,
            provider_id=entry.provider_id,
        )


def _first_entries(ids: list[UUID]) -> Iterator[Any]:
    for place in range(0, len(ids), 500):
        some = ids[place : place + 500]
        rows = LedgerEntry.objects.filter(
            request_id__in=some, number=2, account=LedgerEntry.Account.CLIENT
        )
        yield from rows


def _next_run(batch: str) -> int:
    """Runs of one client's month are numbered."""
    last = LedgerEntry.objects.filter(batch_id__startswith=batch).aggregate(last=Max("pk"))["last"]
    if last is None:
        return 1
    found = LedgerEntry.objects.get(pk=last).batch_id
    return int(found.rpartition(":")[2]) + 1
