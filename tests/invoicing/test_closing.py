"""A month is closed when everything in it is proven, and stays so until an owner reopens it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from apps.audit.models import AuditEvent
from apps.billing import ledger
from apps.billing.models import ClosedPeriod
from apps.invoicing import booking, closing, months
from apps.invoicing.errors import InvoicingError
from apps.invoicing.models import MonthClose
from apps.invoicing.reconcile import compare
from apps.usage.models import OpenIntent
from apps.usage.open_requests import OpenRequest
from chatvault.lib import clock
from tests.factories import World
from tests.invoicing.test_reconcile import MODEL, NANO, quiet
from tests.invoicing.world import accepted, at, roll_up, spend
from tests.usage.samples import intent

OCTOBER = months.read("2026-10")
DAY = date(2026, 10, 15)
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _november(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 10, 9, 30, tzinfo=UTC))


def checked(month: months.Month = OCTOBER) -> MonthClose:
    roll_up()
    row = closing.begin(month=month, author="ada")
    return again(row)


def again(row: MonthClose) -> MonthClose:
    row.refresh_from_db()
    closing.check(row, quiet)
    row.refresh_from_db()
    return row


def wrong(row: MonthClose) -> dict[str, str]:
    return {each["name"]: each["told"] for each in row.checks if not each["is_ok"]}


def close(row: MonthClose) -> None:
    for name in wrong(row):
        closing.waive(row=row, name=name, reason="agreed with the provider", author="ada")
    closing.close(row=row, author="ada")
    row.refresh_from_db()


@pytest.fixture
def request_id(world: World) -> Any:
    return spend(world, at(DAY), cost=10 * NANO, charged=10 * NANO)


def test_what_is_not_reconciled_stands_in_the_way(world: World, request_id: Any):
    row = checked()
    name = f"bill:{world.provider.name}"
    assert row.state == "blocked"
    assert wrong(row)[name] == "There is no accepted bill for the month."
    with pytest.raises(InvoicingError, match="not ready"):
        closing.close(row=row, author="ada")
    bill = accepted(world, f"2026-10-15,{MODEL},14,USD")
    closing.check_again(row=row)
    assert wrong(again(row))[name] == f"Bill {bill.pk} was not compared yet."
    compare(bill)
    closing.check_again(row=row)
    assert wrong(again(row))[name] == f"Bill {bill.pk} differs by $4.00."
    made = booking.begin(bill=bill, reason="as billed", author="ada")
    closing.check_again(row=row)
    assert "adjustments" in wrong(again(row))
    booking.book(made, quiet)
    closing.check_again(row=row)
    assert name not in wrong(again(row))


def test_a_closed_month_takes_credit_notes_alone_until_it_is_reopened(
    world: World, request_id: Any
):
    row = checked()
    close(row)
    assert (row.state, ClosedPeriod.objects.count()) == ("closed", 1)
    with pytest.raises(ledger.PeriodClosed):
        ledger.adjust(request_id=request_id, charged_delta=-1, author="x", reason="x")
    with pytest.raises(InvoicingError, match="closed already"):
        closing.begin(month=OCTOBER, author="ada")
    with pytest.raises(InvoicingError, match="Say why"):
        closing.reopen(row=row, reason=" ", author="ada")
    closing.reopen(row=row, reason="a wrong price", author="ada")
    ledger.adjust(request_id=request_id, charged_delta=-1, author="x", reason="x")
    row.refresh_from_db()
    assert (row.state, row.reason, ClosedPeriod.objects.count()) == ("reopened", "a wrong price", 0)
    told = AuditEvent.objects.get(action="monthclose.reopened")
    assert told.after == {"reason": "a wrong price"}
    assert checked().pk != row.pk


def test_a_ledger_that_is_not_proven_cannot_be_waived(world: World, request_id: Any):
    row = closing.begin(month=OCTOBER, author="ada")  # no hourly sums were made
    again(row)
    assert "rollups" in wrong(row)["ledger"]
    with pytest.raises(InvoicingError, match="cannot be waived"):
        closing.waive(row=row, name="ledger", reason="hurry", author="ada")


def test_requests_of_the_month_that_are_open_stand_in_the_way(world: World, request_id: Any):
    at_ms = int(at(DAY).timestamp() * 1000)
    for when in (at_ms, at_ms + 40 * 86_400_000):
        begun = intent(at_ms=when)
        record = OpenRequest("owner", begun).to_bytes()
        OpenIntent.objects.create(request_id=begun.request_id.hex(), owner="owner", record=record)
    assert wrong(checked())["open_requests"] == "1 requests of the month are not settled."


def test_only_a_month_that_is_over_and_checked_now_is_closed(
    world: World, request_id: Any, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(InvoicingError, match="not over"):
        closing.begin(month=months.read("2026-11"), author="ada")
    row = checked()
    for name in wrong(row):
        closing.waive(row=row, name=name, reason="agreed", author="ada")
    later = clock.now() + timedelta(hours=2)
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(InvoicingError, match="older than an hour"):
        closing.close(row=row, author="ada")
    assert not ClosedPeriod.objects.exists()
