"""From the dry run to the undoing: what is found, refused, booked and taken back."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.test import Client as Browser

from apps.audit.models import AuditEvent
from apps.billing import ledger
from apps.billing.models import (
    Budget,
    BudgetWindow,
    ClosedPeriod,
    LedgerEntry,
    Price,
    PriceBook,
    PricingTier,
)
from apps.repricing import services
from apps.repricing.errors import RepricingRefused
from apps.repricing.models import RepricedRequest, Repricing
from apps.usage.models import KeptSince, RequestLog
from apps.usage.verify import verify
from tests.factories import make_person
from tests.repricing.conftest import COST, DAY, NEXT_DAY, begin, book, prices_double, work

NOVA = 1_500_000  # 1,500 tokens at $1.00 / 1M


def approve(repricing: Repricing) -> None:
    services.approve(repricing, approver=None, approver_name="bob")
    work()
    repricing.refresh_from_db()


def undo(repricing: Repricing) -> None:
    services.undo(repricing, undoer_name="carol")
    work()
    repricing.refresh_from_db()


def sums() -> dict[tuple[int, str], int]:
    """What the ledger says by team and account."""
    rows = LedgerEntry.objects.order_by().values("team_id", "account")
    return {
        (row["team_id"], row["account"]): row["total"]
        for row in rows.annotate(total=Sum("amount_nano"))
        if row["total"]
    }


def requests() -> list[tuple[Any, ...]]:
    return list(RequestLog.objects.order_by("pk").values_list())


def test_a_dry_run_tells_what_would_change_and_books_nothing(priced, checked):
    assert checked.state == "checked"
    assert {name: count for name, count in checked.counts.items() if count} == {
        "looked_at": 7, "changed": 5, "left_out": 1, "interrupted": 1, "became_priced": 2,
    }  # fmt: skip
    assert (checked.cost_delta_nano, checked.charged_delta_nano) == (
        3 * COST + 2 * NOVA, 3 * COST + 2 * NOVA,
    )  # fmt: skip
    lines = {
        (line.team_name, line.client_name, line.model): (
            line.requests, line.changed, line.charged_before_nano, line.charged_after_nano,
        )
        for line in checked.lines.all()
    }  # fmt: skip
    assert lines == {
        ("research", "notebook", "gpt-4o-mini"): (5, 3, 3 * COST + 100_000, 6 * COST + 100_000),
        ("sales", "mailer", "nova"): (2, 2, 0, 2 * NOVA),
    }
    assert not LedgerEntry.objects.filter(kind="adjustment").exists()
    assert priced.is_balanced()


def test_examples_say_how_amounts_come_about(checked):
    largest = checked.examples[0]
    assert (largest["model"], largest["charged_before_nano"], largest["charged_after_nano"]) == (
        "nova", 0, NOVA,
    )  # fmt: skip
    assert largest["before"] == ["It was not priced."]
    assert largest["after"][0] == "Price version 62 of nova"
    assert any("1,000 × $1" in line for line in largest["after"])
    assert len(checked.examples) == 5


def test_reprice_a_day_approve_undo(priced, checked):
    before, rows = sums(), requests()
    approve(checked)
    assert checked.state == "booked"
    assert sums() == {
        (31, "client"): -6 * COST - 100_000,
        (31, "provider"): 6 * COST + 100_000,
        (32, "client"): -2 * NOVA,
        (32, "provider"): 2 * NOVA,
    }
    window = BudgetWindow.objects.get(budget=Budget.objects.get(team_id=31))
    assert window.settled_nano == 6 * COST + 100_000
    assert priced.is_balanced()
    entry = LedgerEntry.objects.filter(kind="adjustment").latest("pk")
    assert (entry.batch_id, entry.author_name, entry.reason) == (
        f"repricing:{checked.pk}", "bob", f"wrong price (repricing {checked.pk})",
    )  # fmt: skip
    undo(checked)
    assert checked.state == "undone"
    assert sums() == before
    assert requests() == rows
    window.refresh_from_db()
    assert window.settled_nano == 3 * COST + 100_000
    assert priced.is_balanced()
    actions = AuditEvent.objects.filter(topic="repricing").order_by("id")
    assert list(actions.values_list("action", flat=True)) == [
        "repricing.started", "repricing.approved", "repricing.booked",
        "repricing.undone", "repricing.undone",
    ]  # fmt: skip


REPORTS = (
    "group_by=team,alias", "group_by=client,key&bucket=hour", "group_by=alias,user",
    "bucket=day&time_zone=Asia/Kathmandu", "group_by=provider",
)  # fmt: skip


def reports(browser: Browser) -> list[bytes]:
    """As the API tells them."""
    found = []
    for asked in REPORTS:
        span = "start=2026-09-20T00:00:00Z&end=2026-09-24T00:00:00Z"
        answer = browser.get(f"/api/v1/usage/summary?{span}&{asked}")
        assert answer.status_code == 200, answer.content
        found.append(answer.content)
    return found


def test_reports_follow_and_return_to_the_byte(priced, checked):
    browser = Browser()
    browser.force_login(make_person("owner", None))
    before = reports(browser)
    approve(checked)
    booked = reports(browser)
    assert all(was != now for was, now in zip(before, booked, strict=True))
    charged = 6 * COST + 100_000 + 2 * NOVA
    total = json.loads(booked[0])["total"]
    assert Decimal(total["charged"]) == Decimal(charged) / 10**9
    assert priced.is_balanced()
    undo(checked)
    assert reports(browser) == before
    assert priced.is_balanced()


def test_repricing_twice_changes_nothing_more(priced, checked):
    approve(checked)
    again = begin()
    assert again.count("changed") == 0
    with pytest.raises(RepricingRefused, match="Nothing would change"):
        services.approve(again, approver=None, approver_name="bob")


def test_other_corrections_stay(priced, checked):
    one = RequestLog.objects.filter(team_id=31, outcome="ok").latest("pk")
    ledger.adjust(request_id=one.request_id, charged_delta=-50_000, author="eve", reason="goodwill")
    again = begin(team_id=31)
    approve(again)
    assert sums()[31, "client"] == -6 * COST - 100_000 + 50_000


def test_never_more_is_given_back_than_was_charged(priced):
    one = RequestLog.objects.filter(team_id=31, outcome="ok").latest("pk")
    ledger.adjust(request_id=one.request_id, charged_delta=-COST, author="eve", reason="goodwill")
    Price.objects.filter(pk=61).update(input_nano=0, output_nano=0)
    made = begin(team_id=31)
    assert made.count("held_back") == 1
    approve(made)
    entries = LedgerEntry.objects.filter(request_id=one.request_id, account="client")
    assert -sum(entries.values_list("amount_nano", flat=True)) == 0
    assert priced.is_balanced()


def test_with_another_book(priced):
    book_ = PriceBook.objects.create(name="next year")
    Price.objects.create(
        book=book_, model="gpt-4o-mini", valid_from=NEXT_DAY, input_nano=0, output_nano=10**9
    )
    made = begin(basis="book", book=book_)
    assert (made.count("changed"), made.count("no_price")) == (0, 5)
    assert dict(made.unpriced_models) == {"gpt-4o-mini": 3, "nova": 2}
    made = begin(basis="book", book=book_, prices_at=NEXT_DAY)
    assert (made.count("changed"), made.count("no_price")) == (3, 2)
    assert made.charged_delta_nano == 3 * (500_000 - COST)


def test_with_the_terms_of_a_tier(priced):
    tier = PricingTier.objects.create(
        name="dear", price_book_id=Price.objects.get(pk=61).book_id, markup_percent=10
    )
    made = begin(basis="terms", terms=tier.current_terms)
    assert (made.cost_delta_nano, made.charged_delta_nano) == (0, 3 * COST // 10)


@pytest.mark.parametrize(
    ("filters", "changed"),
    [
        ({"team_id": 31}, 3),
        ({"client_id": 22}, 2),
        ({"alias": "nova"}, 2),
        ({"model": "gpt-4o-mini"}, 3),
        ({"provider_name": "nobody"}, 0),
        ({"ends_at": DAY + timedelta(hours=1)}, 0),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_only_what_was_chosen(checked, filters, changed):
    assert begin(**filters).count("changed") == changed


def _late_row(priced: Any) -> None:
    book(priced)
    priced.ingest()


@pytest.mark.parametrize(
    "change",
    [_late_row, lambda _: Price.objects.filter(pk=61).update(input_nano=1)],
    ids=["late row", "price"],
)
def test_a_stale_dry_run_is_not_approved(priced, checked, change):
    change(priced)
    with pytest.raises(RepricingRefused, match="changed since the dry run"):
        approve(checked)
    checked.refresh_from_db()
    assert checked.state == "checked"
    services.check_again(checked)
    work()
    approve(checked)
    assert priced.is_balanced()


def test_another_repricing_in_between_makes_it_stale(checked):
    other = begin(team_id=32)
    approve(other)
    with pytest.raises(RepricingRefused, match="changed since"):
        approve(checked)


def test_what_others_stand_on_is_undone_last(priced, checked):
    before = sums()
    approve(checked)
    prices_triple = {"input_nano": 450_000_000, "output_nano": 1_800_000_000}
    Price.objects.filter(pk=61).update(**prices_triple)
    top = begin()
    approve(top)
    assert sums()[31, "client"] == -9 * COST - 100_000
    with pytest.raises(RepricingRefused, match=f"Undo {top.pk} first"):
        undo(checked)
    undo(top)
    undo(checked)
    assert sums() == before
    assert priced.is_balanced()


def test_closed_books_take_a_credit_note_only(priced, checked):
    ClosedPeriod.objects.create(starts_at=DAY.replace(day=1), ends_at=DAY.replace(day=30))
    with pytest.raises(RepricingRefused, match="credit note"):
        approve(checked)
    note = begin(as_credit_note=True)
    assert note.count("closed") == 5
    approve(note)
    dates = LedgerEntry.objects.filter(kind="adjustment").values_list("booked_at", flat=True)
    assert set(dates) == {note.approved_at}
    before = BudgetWindow.objects.get(starts_at=DAY.replace(day=1))
    assert before.settled_nano == 3 * COST + 100_000
    undo(note)
    dates = LedgerEntry.objects.filter(batch_id=note.undo_batch_id)
    assert set(dates.values_list("booked_at", flat=True)) == {note.approved_at}
    assert priced.is_balanced()


def test_a_second_person_approves_where_it_is_asked_for(
    priced, checked, settings, django_user_model
):
    from dataclasses import replace

    from chatvault.settings.billing import BillingSettings

    author = django_user_model.objects.create(username="alice")
    other = django_user_model.objects.create(username="bob")
    Repricing.objects.filter(pk=checked.pk).update(author=author)
    settings.CHATVAULT = replace(settings.CHATVAULT, billing=BillingSettings(second_person=True))
    checked.refresh_from_db()
    for approver in (author, None):
        with pytest.raises(RepricingRefused, match="Somebody else"):
            services.approve(checked, approver=approver, approver_name="alice")
    services.approve(checked, approver=other, approver_name="bob")
    assert checked.state == "approved"


def test_what_is_withdrawn_is_not_approved(checked):
    services.withdraw(checked)
    assert not RepricedRequest.objects.exists()
    with pytest.raises(RepricingRefused, match="Withdrawn"):
        approve(checked)


def test_rows_that_are_gone_are_not_priced_again(priced):
    prices_double()
    KeptSince.objects.create(subject="requests", since=NEXT_DAY)
    made = services.begin(
        Repricing(reason="late", starts_at=DAY, ends_at=NEXT_DAY), author=None, author_name="alice"
    )
    with pytest.raises(Exception, match="no longer kept"):
        work()
    made.refresh_from_db()
    assert (made.state, "no longer kept" in made.trouble) == ("checking", True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: Repricing.objects.filter(pk=one.pk).update(charged_after_nano=1),
        lambda one: Repricing.objects.filter(pk=one.pk).update(state="undone"),
        lambda one: Repricing.objects.filter(pk=one.pk).delete(),
    ],
    ids=["another amount", "not undone", "gone"],
)
def test_the_ledgers_check_finds_what_a_repricing_did_not_book(priced, checked, damage):
    approve(checked)
    damage(checked)
    assert [found.code for found in verify() if found.differences] == ["repricings"]
