"""The pages of a repricing, as a billing admin goes through them."""

import csv
import io

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.billing.models import ClosedPeriod, LedgerEntry
from apps.repricing.models import Repricing
from apps.usage.models import RequestLog
from tests.factories import make_person
from tests.repricing.conftest import DAY, NEXT_DAY, begin, nova_is_priced, prices_double, work

ADD = reverse("admin:repricing_repricing_add")
LIST = reverse("admin:repricing_repricing_changelist")
FORM = {
    "reason": "wrong price", "starts_at_0": "2026-09-21", "starts_at_1": "00:00:00",
    "ends_at_0": "2026-09-22", "ends_at_1": "00:00:00", "basis": "corrected",
}  # fmt: skip


@pytest.fixture
def browser(db) -> Browser:
    browser = Browser()
    browser.force_login(make_person("billing_admin", username="ada", is_staff=True))
    return browser


def page_of(row: Repricing) -> str:
    return reverse("admin:repricing_repricing_change", args=[row.pk])


def step(browser: Browser, row: Repricing, name: str) -> str:
    url = reverse("admin:repricing_repricing_step", args=[row.pk, name])
    return browser.post(url, follow=True).content.decode()


def test_from_the_form_to_the_undoing(priced, browser):
    prices_double()
    nova_is_priced()
    browser.get(ADD)
    told = browser.post(ADD, FORM, follow=True).content.decode()
    assert "The dry run has begun" in told
    assert "every 2s" in told
    row = Repricing.objects.get()
    assert row.author_name == "ada"
    work()
    html = browser.get(page_of(row)).content.decode()
    for text in (
        "Waits for approval", "+$0.00435", "research", "mailer", "gpt-4o-mini", "Approve and book",
        "had no price and get one", "Price version 62 of nova", "cv-w100",
    ):  # fmt: skip
        assert text in html
    step(browser, row, "approve")
    work()
    assert "Undo: book the opposite" in browser.get(page_of(row)).content.decode()
    assert LedgerEntry.objects.filter(batch_id=f"repricing:{row.pk}").exists()
    step(browser, row, "undo")
    work()
    assert "Every entry has its opposite" in browser.get(page_of(row)).content.decode()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ends_at_0": "2026-09-21"}, "must end after it starts"),
        ({"ends_at_0": "2028-09-21"}, "at most 400 days"),
        ({"basis": "book"}, "Choose which"),
        ({"basis": "terms"}, "Choose which"),
        ({"reason": ""}, "required"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_makes_no_sense_is_told_at_its_field(priced, browser, changes, error):
    html = browser.post(ADD, FORM | changes).content.decode()
    assert error in html
    assert not Repricing.objects.exists()


def test_closed_books_are_told_before_the_dry_run(priced, browser):
    ClosedPeriod.objects.create(starts_at=DAY, ends_at=NEXT_DAY)
    assert "only a credit note can change them" in browser.post(ADD, FORM).content.decode()
    assert browser.post(ADD, FORM | {"as_credit_note": "on"}).status_code == 302


def test_what_is_refused_is_told(priced, checked, browser):
    RequestLog.objects.filter(team_id=31).update(output_tokens=1)
    assert "changed since the dry run" in step(browser, checked, "approve")
    assert step(browser, checked, "undo").count("cannot be done now") == 1
    checked.refresh_from_db()
    assert checked.state == "checked"


def test_csv_has_the_sums_and_the_requests(checked, browser):
    def read(what: str) -> list[dict[str, str]]:
        url = reverse("admin:repricing_repricing_csv", args=[checked.pk, what])
        answer = browser.get(url)
        assert answer["Content-Disposition"].endswith(f'-{what}.csv"')
        return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))

    assert [(row["client"], row["model"], row["changed"], row["charged_delta_usd"]) for row in
            read("lines")] == [
        ("notebook", "gpt-4o-mini", "3", "0.001350000"), ("mailer", "nova", "2", "0.003000000"),
    ]  # fmt: skip
    assert len(read("requests")) == 5


def test_the_list_takes_as_many_queries_for_many(checked, browser):
    with CaptureQueriesContext(connection) as few:
        assert "wrong price" in browser.get(LIST).content.decode()
    for _ in range(3):
        begin()
    with CaptureQueriesContext(connection) as many:
        browser.get(LIST)
    assert len(many) == len(few)


def test_whoever_only_reads_sees_no_buttons(checked):
    browser = Browser()
    browser.force_login(make_person("auditor", is_staff=True))
    html = browser.get(page_of(checked)).content.decode()
    assert "+$0.00435" in html
    assert "Approve" not in html.replace("Approved", "")
    url = reverse("admin:repricing_repricing_step", args=[checked.pk, "approve"])
    assert browser.post(url).status_code == 403
    assert browser.get(ADD).status_code == 403
