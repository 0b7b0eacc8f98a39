"""The pages: what they show, who may press which button, and how many queries they need."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.invoicing import booking, closing, importing, months, statements
from apps.invoicing.models import Bill, BillAdjustment, ExchangeRate, MonthClose, Statement
from apps.invoicing.reconcile import compare
from tests.factories import World, make_person, make_team, make_user
from tests.invoicing.test_reconcile import MODEL, NANO, quiet
from tests.invoicing.world import FIRST, accepted, at, cost_of, roll_up, spend, take

pytestmark = pytest.mark.django_db
OCTOBER = months.read("2026-10")


def browser_of(person: Any) -> Browser:
    browser = Browser()
    browser.force_login(person)
    return browser


@pytest.fixture
def owner(db: None) -> Browser:
    return browser_of(make_user(username="ada", is_staff=True, is_superuser=True))


def page(row: Any) -> str:
    return reverse(f"admin:invoicing_{row._meta.model_name}_change", args=[row.pk])


def press(browser: Browser, row: Any, do: str, **data: str) -> list[str]:
    answer = browser.post(page(row), {"do": do} | data, follow=True)
    return [str(message) for message in answer.context["messages"]]


def issued(world: World, monkeypatch: Any) -> Statement:
    from apps.invoicing import documents

    monkeypatch.setattr(documents, "as_pdf", lambda paper: b"%PDF-" + bytes([paper.shows_margins]))
    spend(world, at(FIRST), cost=NANO, charged=3 * NANO)
    roll_up()
    return statements.issue(team=world.team, month=OCTOBER, author="ada")


def test_from_the_file_to_the_adjusted_ledger(world: World, owner: Browser):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    file = SimpleUploadedFile("october.csv", f"date,model,amount\n2026-10-01,{MODEL},3\n".encode())
    asked = {"provider": world.provider.pk, "form": "generic", "file": file, "time_zone": "UTC"}
    answer = owner.post(reverse("admin:invoicing_bill_import_bill"), asked)
    bill = Bill.objects.get()
    assert answer.headers["Location"] == page(bill)
    importing.read(bill)
    assert "$3.00" in owner.get(page(bill)).text
    assert press(owner, bill, "accept") == [
        "The bill counts now, and is being compared with our cost."
    ]
    compare(Bill.objects.get())
    shown = owner.get(page(bill)).text
    assert "$2.00 (66.67 %), beyond tolerance" in shown
    assert press(owner, bill, "adjust", reason=" ") == [
        "Say why: the reason is kept with every entry."
    ]
    press(owner, bill, "adjust", reason="as billed")
    made = BillAdjustment.objects.get()
    booking.book(made, quiet)
    assert cost_of() == 3 * NANO
    press(owner, bill, "undo")
    made.refresh_from_db()
    booking.undo(made, quiet)
    assert cost_of() == NANO
    told = AuditEvent.objects.filter(topic="bill").order_by("pk").values_list("action", flat=True)
    assert list(told) == [
        "bill.imported", "bill.accepted", "bill.adjusted", "bill.adjustment_booked",
        "bill.adjustment_undone", "bill.adjustment_taken_back",
    ]  # fmt: skip


def test_a_wrong_form_says_what_is_wrong_and_keeps_nothing(world: World, owner: Browser):
    file = SimpleUploadedFile("x.csv", b"date,model,amount\n")
    asked = {
        "provider": world.provider.pk, "form": "generic", "file": file, "time_zone": "Mars/Base",
        "columns": "day=Tag", "starts_on": "2026-10-02", "ends_on": "2026-10-01",
    }  # fmt: skip
    text = owner.post(reverse("admin:invoicing_bill_import_bill"), asked).text
    for part in ("no such time zone", "is not one of date", "not be before the first day"):
        assert part in text
    assert not Bill.objects.exists()


def test_rates_are_imported_all_or_none(owner: Browser):
    url = reverse("admin:invoicing_exchangerate_import_rates")

    def send(text: str) -> str:
        file = SimpleUploadedFile("rates.csv", text.encode())
        return owner.post(url, {"file": file, "source": "ECB"}, follow=True).text

    shown = send("Date,USD,GBP\n2026-10-01,1.08,0.85\n2026-10-02,NaN,0.85\n")
    assert "Nothing was imported: line 3: the rate must be a finite number above zero" in shown
    assert not ExchangeRate.objects.exists()
    send("Date,USD,GBP,RUB\n2026-10-01,1.0800,0.8500,N/A\n2026-10-02,1.09,0.86,\n")
    pounds = ExchangeRate.objects.get(currency="GBP", day=date(2026, 10, 1))
    assert (str(pounds.rate), pounds.source) == ("1.270588235294", "ECB")
    assert ExchangeRate.objects.count() == 4
    assert "0 rates added, 1 changed, 1 known" in send("currency,day,rate\nEUR,2026-10-01,2\n"
                                                       "EUR,2026-10-02,1.09\n")  # fmt: skip


def test_a_month_is_closed_and_reopened_on_its_page(world: World, owner: Browser):
    spend(world, at(FIRST), cost=0, charged=NANO)
    roll_up()
    owner.post(reverse("admin:invoicing_monthclose_begin"), {"month": "2026-10"})
    row = MonthClose.objects.get()
    closing.check(row, quiet)
    assert "Ingest has not run here yet" in owner.get(page(row)).text
    assert press(owner, row, "close")[0].startswith("The month is not ready: No late rows")
    assert press(owner, row, "waive", name="late_rows", reason="nothing runs here") == [
        "It is waived."
    ]
    assert press(owner, row, "close") == ["2026-10 is closed."]
    billing = browser_of(make_person("billing_admin", None))
    assert billing.post(page(row), {"do": "reopen", "reason": "x"}).status_code == 403
    assert press(owner, row, "reopen", reason="a mistake") == ["2026-10 is open again."]


def test_a_teams_people_see_their_statements_without_margins(
    world: World, owner: Browser, monkeypatch: pytest.MonkeyPatch
):
    made = issued(world, monkeypatch)
    member = browser_of(make_person("member", world.team))
    stranger = browser_of(make_person("admin", make_team()))
    shown = member.get(page(made)).text
    assert "$3.00" in shown
    assert "Margin" not in shown
    assert "Credited" not in shown  # in no line is there anything
    assert "In all" in shown
    file = reverse("admin:invoicing_statement_file", args=[made.pk, "csv"])
    assert "cost_usd" not in member.get(file).text
    assert member.get(f"{file}?margins").status_code == 404
    assert "cost_usd" in owner.get(f"{file}?margins").text
    assert owner.get(file).content == owner.get(file).content
    assert made.reference not in stranger.get(reverse("admin:invoicing_statement_changelist")).text
    assert stranger.get(page(made)).status_code == 404
    assert stranger.get(file).status_code == 404
    assert member.post(reverse("admin:invoicing_statement_issue")).status_code == 403


def test_lists_and_pages_need_a_fixed_number_of_queries(world: World, owner: Browser):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    bill = accepted(world, f"2026-10-01,{MODEL},3,USD")
    compare(bill)

    def count() -> list[int]:
        found = []
        for url in (reverse("admin:invoicing_bill_changelist"), page(bill)):
            owner.get(url)
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert owner.get(url).status_code == 200
            found.append(len(queries))
        return found

    before = count()
    for day in range(2, 9):
        take(world, f"2026-11-{day:02},{MODEL},3,USD", f"2026-11-{day:02},other,3,USD")
    assert count() == before
