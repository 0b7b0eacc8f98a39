"""From the file to the drift, and from the drift to the ledger: exact to the nano, undone alike."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.alerts.models import Alert
from apps.billing import ledger
from apps.billing.models import ClosedPeriod, LedgerEntry
from apps.invoicing import booking, importing, reconcile
from apps.invoicing.errors import InvoicingError
from apps.invoicing.matching import Matcher, Rule
from apps.invoicing.models import Bill, BillAdjustment, ExchangeRate, MatchRule
from apps.invoicing.shares import spread
from apps.usage.verify import verify
from tests.factories import World
from tests.invoicing.world import FIRST, accepted, at, charged, cost_of, roll_up, spend, take

NANO = 10**9
MODEL = "gpt-4o-mini"
pytestmark = pytest.mark.django_db


def quiet(*_: Any) -> None:
    """Nobody watches the progress."""


def adjust(bill: Bill, **options: Any) -> BillAdjustment:
    made = booking.begin(bill=bill, reason="as billed", author="ada", **options)
    booking.book(made, quiet)
    made.refresh_from_db()
    return made


@pytest.fixture
def billed(world: World) -> Bill:
    """Three requests for 0.6 USD, billed with 1 USD."""
    for number, cost in enumerate((100, 200, 300)):
        spend(world, at(FIRST, number), cost=cost * NANO // 1000, charged=NANO)
    return accepted(world, f"2026-10-01,{MODEL}-2024-07-18,1,USD")


def test_a_file_is_a_preview_until_it_is_accepted(world: World, sent: list[Any]):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    bill = take(world, f"2026-10-01,{MODEL},1.0000000005,USD", "2026-10-01,other,2,USD")
    assert (bill.state, bill.starts_on, bill.ends_on) == (Bill.State.READ, FIRST, FIRST)
    assert [(line.model, line.usd_nano, line.unmatched) for line in bill.lines.all()] == [
        (MODEL, NANO + 1, ""),
        ("", 2 * NANO, "unknown model"),
    ]
    with pytest.raises(InvoicingError, match="Only an accepted bill"):
        reconcile.compare(bill)
    importing.accept(bill=bill)
    assert bill.matches.count() == 0


def test_the_same_file_twice_is_noticed(world: World):
    bill = take(world, f"2026-10-01,{MODEL},1,USD")
    with pytest.raises(InvoicingError, match=f"already, as bill {bill.pk}"):
        take(world, f"2026-10-01,{MODEL},1,USD")
    importing.discard(bill=bill)
    assert take(world, f"2026-10-01,{MODEL},1,USD").state == Bill.State.READ


def test_two_bills_do_not_count_for_one_day(world: World, billed: Bill):
    other = take(world, f"2026-10-01,{MODEL},2,USD")
    with pytest.raises(InvoicingError, match=f"Bill {billed.pk} of"):
        importing.accept(bill=other)


def test_a_wrong_line_refuses_the_whole_file_and_names_it(world: World):
    bill = take(world, f"2026-10-01,{MODEL},1,USD", f"2026-10-02,{MODEL},NaN,USD")
    assert (bill.state, bill.fault_count, bill.lines.count()) == (Bill.State.REFUSED, 1, 0)
    assert bill.faults == ["Line 3: the amount is not a finite number ('NaN')."]
    bill = take(world, f"2026-10-01,{MODEL},1,USD", f"2026-10-01,{MODEL},1,EUR")
    assert bill.faults == ["Line 3: it is in EUR, others in USD."]


def test_days_outside_of_the_claim_are_kept_and_compared_with_nothing(world: World):
    bill = take(
        world,
        f"2026-10-01,{MODEL},1,USD",
        f"2026-09-30,{MODEL},5,USD",
        starts_on=FIRST,
        ends_on=date(2026, 10, 31),
    )
    assert [line.unmatched for line in bill.lines.all()] == ["outside the bill's days", ""]
    assert (bill.usd_nano, bill.matched_usd_nano) == (6 * NANO, NANO)


def test_another_currency_is_converted_by_the_rate_of_its_day(world: World):
    row = f"2026-10-03,{MODEL},1.005,EUR"
    bill = take(world, row)
    assert bill.state == Bill.State.REFUSED
    assert "no exchange rate of EUR for 2026-10-03" in bill.problem
    ExchangeRate.objects.create(currency="EUR", day=date(2026, 10, 2), rate="1.0854")
    ExchangeRate.objects.create(currency="EUR", day=date(2026, 10, 4), rate="9")
    importing.read_again(bill=bill)
    bill.refresh_from_db()
    importing.read(bill)
    line = bill.lines.get()
    assert (line.usd_nano, line.rate_day) == (1_090_827_000, date(2026, 10, 2))
    assert (bill.currency, bill.amount_nano) == ("EUR", 1_005_000_000)


def test_drift_by_day_and_model_is_told_beyond_the_tolerance(world: World, billed: Bill):
    [match] = reconcile.compare(billed)
    assert (match.billed_nano, match.cost_nano, match.requests) == (NANO, 6 * NANO // 10, 3)
    assert (billed.drift_nano, billed.is_drifting) == (4 * NANO // 10, False)  # below 1 USD
    assert not Alert.objects.exists()
    spend(world, at(FIRST, 5), cost=9 * NANO, charged=0)
    reconcile.compare(billed)
    assert (billed.drift_nano, billed.is_drifting) == (-86 * NANO // 10, True)
    alert = Alert.objects.get()
    assert (alert.topic, alert.facts["drift_usd"]) == ("reconciliation.drift", "-8.600000000")
    reconcile.compare(billed)
    assert Alert.objects.count() == 1


def test_adjusting_books_the_cost_side_exactly_and_undo_takes_it_back(world: World, billed: Bill):
    before, was = charged(), cost_of()
    made = adjust(billed)
    assert (made.state, made.amount_nano, made.requests) == ("booked", 4 * NANO // 10, 3)
    assert (cost_of(), charged()) == (NANO, before)
    entries = LedgerEntry.objects.filter(batch_id=made.batch_id, account="provider")
    assert sorted(entries.values_list("amount_nano", flat=True)) == [
        66_666_667, 133_333_333, 200_000_000,
    ]  # fmt: skip
    billed.refresh_from_db()
    assert billed.drift_nano == 0
    assert differences() == {}
    booking.begin_undo(made=made, author="bob")
    made.refresh_from_db()
    booking.undo(made, quiet)
    assert (cost_of(), charged(), made.state) == (was, before, "undone")
    assert differences() == {}
    again = adjust(Bill.objects.get(pk=billed.pk))
    assert (again.number, cost_of()) == (2, NANO)


def test_a_run_that_was_stopped_is_finished_by_running_it_again(
    world: World, billed: Bill, monkeypatch: pytest.MonkeyPatch
):
    spend(world, at(FIRST + timedelta(days=1)), cost=NANO, charged=NANO)
    importing.discard(bill=billed)
    bill = accepted(world, f"2026-10-01,{MODEL},1,USD", f"2026-10-02,{MODEL},3,USD")
    made = booking.begin(bill=bill, reason="as billed", author="ada")
    real, calls = ledger.adjust_many, []

    def dies(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(ledger, "adjust_many", dies)
    with pytest.raises(KeyboardInterrupt):
        booking.book(made, quiet)
    assert cost_of() == 2 * NANO
    late = spend(world, at(FIRST, 20), cost=5, charged=5)  # known to no plan
    booking.book(made, quiet)
    booking.book(made, quiet)
    assert (cost_of() - cost_of(late), made.state) == (4 * NANO, "booked")
    assert differences() == {}


def test_only_one_adjustment_of_a_bill_at_a_time(world: World, billed: Bill):
    booking.begin(bill=billed, reason="as billed", author="ada")
    with pytest.raises(InvoicingError, match="adjusted already"):
        booking.begin(bill=billed, reason="as billed", author="ada")
    with pytest.raises(InvoicingError, match="undo that first"):
        importing.discard(bill=billed)


def test_half_a_bill_is_never_adjusted_to(world: World):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    bill = accepted(world, f"2026-10-01,{MODEL},2,USD", "2026-10-01,gpt-5-secret,2,USD")
    with pytest.raises(InvoicingError, match="gpt-5-secret"):
        booking.begin(bill=bill, reason="as billed", author="ada")
    assert not BillAdjustment.objects.exists()
    MatchRule.objects.create(provider=world.provider, billed_model="GPT-5-*", model=MODEL)
    adjust(bill)
    assert cost_of() == 4 * NANO


def test_what_the_bill_does_not_name_stays_unless_it_is_asked_for(world: World):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    spend(world, at(FIRST + timedelta(days=1)), cost=NANO, charged=NANO)
    bill = accepted(world, f"2026-10-01,{MODEL},3,USD", starts_on=FIRST, ends_on=date(2026, 10, 31))
    adjust(bill)
    assert cost_of() == 4 * NANO
    booking.begin_undo(made=bill.adjustments.get(), author="ada")
    booking.undo(bill.adjustments.get(), quiet)
    adjust(bill, with_unbilled=True)
    assert cost_of() == 3 * NANO


def test_a_credit_never_makes_a_cost_negative(world: World):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    adjust(accepted(world, f"2026-10-01,{MODEL},-5,USD"))
    assert cost_of() == 0


def test_cost_comes_to_requests_that_had_none_by_their_tokens(world: World):
    first = spend(world, at(FIRST), cost=0, charged=0, input_tokens=30, output_tokens=0)
    spend(world, at(FIRST, 13), cost=0, charged=0, input_tokens=0, output_tokens=10)
    bill = accepted(world, f"2026-10-01,{MODEL},4,USD", f"2026-10-02,{MODEL},4,USD")
    made = adjust(bill)
    assert (cost_of(first), cost_of()) == (3 * NANO, 4 * NANO)
    assert made.lines.get(day=date(2026, 10, 2)).unmatched == booking.NO_REQUEST


def test_the_cost_of_a_closed_month_is_corrected_with_todays_date(world: World, billed: Bill):
    ClosedPeriod.objects.create(starts_at=at(FIRST, 0), ends_at=at(date(2026, 11, 1), 0))
    made = adjust(billed)
    booked = LedgerEntry.objects.filter(batch_id=made.batch_id).values_list("booked_at", flat=True)
    assert set(booked) == {booking.dated(made)}
    assert made.created_at - booked[0] < timedelta(minutes=1)
    billed.refresh_from_db()
    assert billed.drift_nano == 0  # it counts for the day of its requests
    booking.begin_undo(made=made, author="ada")
    made.refresh_from_db()
    booking.undo(made, quiet)
    assert cost_of() == 6 * NANO // 10


def test_an_undo_that_cannot_be_whole_is_not_begun(world: World, billed: Bill):
    made = adjust(billed)
    request_id = LedgerEntry.objects.filter(batch_id=made.batch_id)[0].request_id
    ledger.adjust(
        request_id=request_id, charged_delta=0, cost_delta=-cost_of(request_id), author="x",
        reason="free",
    )  # fmt: skip
    before = LedgerEntry.objects.count()
    booking.begin_undo(made=made, author="ada")
    made.refresh_from_db()
    with pytest.raises(ValueError, match="too little to take it back"):
        booking.undo(made, quiet)
    assert LedgerEntry.objects.count() == before


def test_days_are_the_providers(world: World):
    spend(world, at(FIRST, 20), cost=NANO, charged=NANO)  # 2 October in Kolkata
    bill = accepted(world, f"2026-10-02,{MODEL},1,USD", time_zone="Asia/Kolkata")
    assert [(m.day, m.drift_nano) for m in reconcile.compare(bill)] == [(date(2026, 10, 2), 0)]


@given(total=st.integers(0, 2**63 - 1), weights=st.lists(st.integers(0, 2**60), max_size=30))
def test_shares_are_exact_fair_and_never_negative(total: int, weights: list[int]):
    shares = spread(total, weights)
    assert sum(shares) == (total if weights else 0)
    assert all(share >= 0 for share in shares)
    whole = sum(weights)
    for share, weight in zip(shares, weights, strict=True):
        if whole:
            assert abs(share * whole - total * weight) < whole


@pytest.mark.parametrize(
    ("billed", "expected"),
    [
        ("gpt-4o-mini", ("gpt-4o-mini", "")),
        ("GPT-4o-mini-2024-07-18", ("gpt-4o-mini", "")),
        ("gpt 4o mini 0718", ("gpt-4o-mini", "")),
        ("claude-sonnet-4-20250514", ("claude-sonnet-4-20250514", "")),
        ("claude-sonnet-4", ("claude-sonnet-4-20250514", "")),
        ("gpt-4o", ("", "unknown model")),
        ("", ("", "names no model")),
        ("Claude3Haiku", ("claude-haiku", "")),
        ("Image models", ("", "not ours, by a match rule")),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_names_on_bills_find_our_models(billed: str, expected: tuple[str, str]):
    rules = [Rule("claude3haiku*", "claude-haiku"), Rule("image models", "")]
    matcher = Matcher(rules, ["gpt-4o-mini", "claude-sonnet-4-20250514"])
    assert matcher.find(billed) == expected


def differences() -> dict[str, int]:
    """What verify finds wrong, once the hourly sums are made."""
    roll_up()
    return {each.name: each.differences for each in verify() if each.differences}
