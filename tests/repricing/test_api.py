"""/api/v1/repricings"""

from typing import Any

import pytest
from django.test import Client as Browser

from apps.billing.models import LedgerEntry
from apps.repricing.models import Repricing
from tests.factories import make_person
from tests.repricing.conftest import nova_is_priced, prices_double, work

URL = "/api/v1/repricings"
ASKED = {
    "reason": "wrong price", "starts_at": "2026-09-21T00:00:00Z",
    "ends_at": "2026-09-22T00:00:00Z",
}  # fmt: skip


def caller(role: str, **fields: Any) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role, **fields))
    return browser


@pytest.fixture
def billing(priced: Any) -> Browser:
    prices_double()
    nova_is_priced()
    return caller("billing_admin", username="ada")


def post(browser: Browser, path: str = "", **data: Any) -> Any:
    return browser.post(f"{URL}{path}", data, content_type="application/json")


def test_from_the_dry_run_to_the_undoing(billing):
    made = post(billing, **ASKED, team=32)
    assert (made.status_code, made.json()["state"], made.json()["team"]) == (201, "checking", 32)
    one = f"/{made.json()['id']}"
    work()
    told = billing.get(URL + one).json()
    assert (told["state"], told["counts"]["changed"], told["author_name"]) == ("checked", 2, "ada")
    assert told["charged_after_nano"] == 3_000_000
    lines = billing.get(f"{URL}{one}/lines?by=client").json()
    assert [(line["name"], line["changed"], line["charged_delta_nano"]) for line in lines] == [
        ("mailer", 2, 3_000_000)
    ]
    assert post(billing, f"{one}/approve").json()["state"] == "approved"
    work()
    assert LedgerEntry.objects.filter(kind="adjustment").count() == 4
    assert post(billing, f"{one}/undo").json()["state"] == "undoing"
    work()
    assert billing.get(URL + one).json()["state"] == "undone"
    assert [row["id"] for row in billing.get(f"{URL}?state=undone").json()["results"]] == [
        told["id"]
    ]


def test_a_step_at_the_wrong_time_is_a_conflict(billing):
    one = f"/{post(billing, **ASKED).json()['id']}"
    answer = post(billing, f"{one}/approve")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert "not waiting for approval" in answer.json()["error"]["message"]
    work()
    assert post(billing, f"{one}/check").json()["state"] == "checking"
    assert post(billing, f"{one}/withdraw").json()["state"] == "withdrawn"


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"ends_at": ASKED["starts_at"]}, "ends_at"),
        ({"basis": "book"}, "book"),
        ({"team": 999}, "team"),
        ({"team": 31, "client": 22}, "client"),
        ({"reason": ""}, "reason"),
        ({"state": "booked"}, "state"),
        ({"price": 1}, "price"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_field_is_named(billing, changes, param):
    answer = post(billing, **(ASKED | changes))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert not Repricing.objects.exists()


def test_lines_of_an_unknown_dimension(billing):
    one = f"/{post(billing, **ASKED).json()['id']}"
    assert billing.get(f"{URL}{one}/lines?by=colour").status_code == 400


@pytest.mark.parametrize(
    ("role", "statuses"),
    [("auditor", (200, 403)), ("operator", (403, 403)), ("owner", (200, 201))],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_who_may(priced, role, statuses):
    browser = caller(role)
    assert (browser.get(URL).status_code, post(browser, **ASKED).status_code) == statuses
