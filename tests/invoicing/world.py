"""A provider with a model, a client, and requests whose ledger entries are really booked."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from apps.billing import budget_windows, ledger
from apps.billing.models import LedgerEntry
from apps.invoicing import importing
from apps.invoicing.importing import Terms
from apps.invoicing.models import Bill
from apps.usage import rollups
from apps.usage.models import RequestLog
from chatvault.lib import clock, ids
from tests.factories import World, make_request
from tests.invoicing.bills import generic

FIRST = date(2026, 10, 1)


def at(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def spend(world: World, started_at: datetime, *, cost: int, charged: int, **fields: Any) -> UUID:
    """One request that was served and booked."""
    names = {
        "team_id": world.team.pk,
        "team_name": world.team.name,
        "client_id": world.client.pk,
        "client_name": world.client.name,
        "key_id": world.key.pk,
        "alias": world.alias.name,
        "deployment_id": world.deployment.pk,
        "deployment_name": world.deployment.name,
        "provider_name": world.provider.name,
    } | fields
    row = make_request(
        request_id=ids.uuid7(),
        started_at=started_at,
        cost_nano=cost,
        charged_nano=charged,
        **names,
    )
    entries = ledger.split(cost, charged)
    if not charged:
        entries.insert(0, ("client", 0))
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            request_id=row.request_id,
            account=account,
            amount_nano=amount,
            team_id=row.team_id,
            client_id=row.client_id,
            key_id=row.key_id,
            provider_name=row.provider_name,
            alias=row.alias if charged % 2 else "",  # as entries of long ago
            booked_at=started_at,
        )
        for account, amount in entries
    )
    charge = budget_windows.Charge(
        row.team_id, row.client_id, row.key_id, int(started_at.timestamp()), charged
    )
    budget_windows.book([charge], clock.now())
    return row.request_id


def roll_up() -> None:
    """The hourly sums of the hours that have requests."""
    started = RequestLog.objects.values_list("started_at", flat=True)
    for hour in {at.replace(minute=0, second=0, microsecond=0) for at in started}:
        rollups.recompute(hour, hour + timedelta(hours=1))


def cost_of(*request_ids: UUID) -> int:
    rows = LedgerEntry.objects.filter(account="provider")
    if request_ids:
        rows = rows.filter(request_id__in=request_ids)
    return sum(rows.values_list("amount_nano", flat=True))


def charged() -> int:
    return -sum(LedgerEntry.objects.filter(account="client").values_list("amount_nano", flat=True))


def take(world: World, *rows: str, data: bytes = b"", **terms: Any) -> Bill:
    """A generic bill of these rows, read."""
    bill = importing.take(
        provider=world.provider,
        file_name="bill.csv",
        data=data or generic(*rows),
        terms=Terms(**{"form": "generic", "mapping": {"currency": "currency"}} | terms),
        author="ada",
    )
    importing.read(bill)
    bill.refresh_from_db()
    return bill


def accepted(world: World, *rows: str, **terms: Any) -> Bill:
    bill = take(world, *rows, **terms)
    assert bill.state == Bill.State.READ, (bill.problem, bill.faults)
    importing.accept(bill=bill)
    bill.refresh_from_db()
    return bill
