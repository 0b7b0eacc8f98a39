"""An adjustment by hand: preview, booking, and what is refused."""

from datetime import UTC, datetime

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.billing.models import ClosedPeriod, LedgerEntry
from apps.usage.models import RequestLog
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.factories import make_person
from tests.usage.samples import intent, settle, start

TOKEN = "6f1c9f0e-0b1c-4f5e-9d3e-000000000001"
ASKED = {"charged": "-0.00002", "cost": "", "reason": "goodwill", "token": TOKEN}


@pytest.fixture
def row(world) -> RequestLog:
    """Charged 40,425 nano-USD, cost 36,750."""
    one = uuid7_bytes()
    world.write_dead(intent(one), start(one), settle(one))
    world.ingest()
    return RequestLog.objects.get()


@pytest.fixture
def browser(db) -> Browser:
    browser = Browser()
    browser.force_login(make_person("billing_admin", username="ada"))
    return browser


def url(row: RequestLog) -> str:
    return reverse("admin:usage_requestlog_adjust", args=[row.pk])


def charged() -> int:
    rows = LedgerEntry.objects.filter(account="client")
    return -sum(rows.values_list("amount_nano", flat=True))


def test_a_preview_books_nothing(row, browser):
    page = reverse("admin:usage_requestlog_change", args=[row.pk])
    assert url(row) in browser.get(page).content.decode()
    html = browser.post(url(row), ASKED).content.decode()
    for amount in ("$0.000040425", "-$0.00002", "$0.000020425", "Book it"):
        assert amount in html
    assert charged() == 40_425


def test_it_is_booked_once_with_its_reason(row, browser, world):
    for _ in range(2):
        assert browser.post(url(row), ASKED | {"confirm": "1"}).status_code == 302
    assert charged() == 20_425
    entry = LedgerEntry.objects.filter(kind="adjustment").latest("pk")
    assert (entry.author_name, entry.reason, entry.batch_id) == (
        "ada", "goodwill", f"manual:{TOKEN}",
    )  # fmt: skip
    assert AuditEvent.objects.filter(action="ledger.adjusted", actor="ada").count() == 1
    assert world.is_balanced()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"charged": "-0.00005"}, "more than was charged"),
        ({"cost": "-1"}, "less than nothing"),
        ({"charged": "0"}, "Nothing would change"),
        ({"charged": "NaN"}, "Enter a number"),
        ({"charged": "-0.0000000001"}, "9 decimal places"),
        ({"reason": ""}, "required"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_is_told(row, browser, changes, error):
    html = browser.post(url(row), ASKED | changes | {"confirm": "1"}).content.decode()
    assert error in html
    assert charged() == 40_425
    assert "Book it" not in browser.post(url(row), ASKED | changes).content.decode()


def test_closed_months_take_a_credit_note(row, browser):
    month = datetime(2026, 9, 1, tzinfo=UTC)
    ClosedPeriod.objects.create(starts_at=month, ends_at=month.replace(month=10))
    asked = ASKED | {"confirm": "1"}
    assert "credit note" in browser.post(url(row), asked).content.decode()
    assert charged() == 40_425
    assert browser.post(url(row), asked | {"as_credit_note": "on"}).status_code == 302
    entry = LedgerEntry.objects.filter(kind="adjustment").latest("pk")
    assert entry.booked_at.date() == clock.now().date()


@pytest.mark.parametrize("role", ["auditor", "operator"])
def test_others_only_read(row, role):
    browser = Browser()
    browser.force_login(make_person(role))
    page = reverse("admin:usage_requestlog_change", args=[row.pk])
    assert url(row) not in browser.get(page).content.decode()
    assert browser.post(url(row), ASKED | {"confirm": "1"}).status_code == 403
    assert charged() == 40_425


def test_a_teams_own_billing_admin_does_not_credit_the_team(row):
    from apps.accounts.models import Team

    browser = Browser()
    browser.force_login(make_person("billing_admin", Team.objects.get(pk=31)))
    assert browser.get(url(row)).status_code == 403
