"""Bills, exchange rates and statements by the REST API."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser

from apps.configuration.models import JobRun
from apps.invoicing import booking, importing
from apps.invoicing.models import Bill, BillAdjustment, ExchangeRate
from apps.invoicing.reconcile import compare
from tests.factories import World, make_client, make_person, make_team
from tests.invoicing.test_admin import browser_of, issued
from tests.invoicing.test_reconcile import MODEL, NANO, quiet
from tests.invoicing.world import FIRST, at, cost_of, spend

pytestmark = pytest.mark.django_db
JSON = "application/json"


@pytest.fixture
def billing(db: None) -> Browser:
    return browser_of(make_person("billing_admin", None))


def post(browser: Browser, path: str, **data: Any) -> Any:
    return browser.post(f"/api/v1/{path}", data, content_type=JSON)


def test_a_bill_from_import_to_adjustment(world: World, billing: Browser):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    file = SimpleUploadedFile("b.csv", f"date,model,amount\n2026-10-01,{MODEL},3\n".encode())
    asked = {"provider": world.provider.pk, "form": "generic", "file": file}
    answer = billing.post("/api/v1/bills", asked)
    assert answer.status_code == 201, answer.text
    bill = answer.json()
    assert (bill["state"], bill["cost_usd"]) == ("waiting", None)
    file.seek(0)
    again = billing.post("/api/v1/bills", asked)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    row = Bill.objects.get()
    importing.read(row)
    url = f"bills/{row.pk}"
    assert post(billing, f"{url}/accept").json()["state"] == "counted"
    compare(Bill.objects.get())
    [match] = billing.get(f"/api/v1/{url}/matches").json()["results"]
    assert (match["drift_usd"], match["requests"]) == ("2.000000000", 1)
    [line] = billing.get(f"/api/v1/{url}/lines").json()["results"]
    assert (line["model"], line["usd"]) == (MODEL, "3.000000000")
    assert post(billing, f"{url}/adjust").status_code == 400
    adjusted = post(billing, f"{url}/adjust", reason="as billed").json()
    assert adjusted["adjustments"][0]["amount_usd"] == "2.000000000"
    booking.book(BillAdjustment.objects.get(), quiet)
    assert cost_of() == 3 * NANO
    assert post(billing, f"{url}/discard").status_code == 409
    assert post(billing, f"{url}/undo").json()["adjustments"][0]["state"] == "undoing"
    assert list(JobRun.objects.order_by("pk").values_list("name", flat=True)) == [
        "read-bill", "compare-bill", "book-bill-adjustment", "undo-bill-adjustment",
    ]  # fmt: skip


def test_exchange_rates(billing: Browser):
    made = post(billing, "exchange-rates", currency="EUR", day="2026-10-01", rate="1.0854")
    assert made.status_code == 201, made.text
    twice = post(billing, "exchange-rates", currency="EUR", day="2026-10-01", rate="2")
    assert twice.status_code == 409
    for wrong in ({"rate": "NaN"}, {"rate": "0"}, {"rate": "-1"}, {"currency": "USD"}):
        asked = {"currency": "GBP", "day": "2026-10-01", "rate": "1"} | wrong
        assert post(billing, "exchange-rates", **asked).status_code == 400
    csv = "currency,day,rate\nGBP,2026-10-01,1.3\n"
    done = post(billing, "exchange-rates/import", csv=csv, source="bank")
    assert done.json() == {"added": 1, "changed": 0, "unchanged": 0}
    found = billing.get("/api/v1/exchange-rates?currency=GBP").json()["results"]
    assert [(row["rate"], row["source"]) for row in found] == [("1.300000000000", "bank")]
    assert ExchangeRate.objects.count() == 2


def test_statements_are_their_teams_and_margins_the_billing_admins(
    world: World, billing: Browser, monkeypatch: pytest.MonkeyPatch
):
    made = issued(world, monkeypatch)
    member = browser_of(make_person("member", world.team))
    stranger = browser_of(make_person("member", make_team()))
    url = f"/api/v1/statements/{made.pk}"
    assert member.get(url).json()["total_usd"] == "3.000000000"
    assert member.get(url).json()["cost_usd"] is None
    assert billing.get(url).json()["cost_usd"] == "1.000000000"
    assert stranger.get(url).status_code == 404
    assert stranger.get("/api/v1/statements").json()["results"] == []
    first = member.get(f"{url}/csv")
    assert first.content == member.get(f"{url}/csv").content
    assert first.headers["ETag"] == f'"{made.files.get(form="csv", shows_margins=False).digest}"'
    assert member.get(f"{url}/csv?margins=true").status_code == 403
    assert "margin_usd" in billing.get(f"{url}/csv?margins=true").text
    [line] = member.get(f"{url}/lines").json()["results"]
    assert (line["requests"], line["charged_usd"], line["cost_usd"]) == (1, "3.000000000", None)


def test_issuing_is_of_the_whole_installation(
    world: World, billing: Browser, monkeypatch: pytest.MonkeyPatch
):
    made = issued(world, monkeypatch)
    twice = post(billing, "statements", team=world.team.pk, month="2026-10")
    assert (twice.status_code, twice.json()["error"]["message"]) == (
        409, f"2026-10 has a statement already: {made.reference}.",
    )  # fmt: skip
    assert post(billing, "statements", team=world.team.pk, month="2026-13").status_code == 400
    other = make_client()
    wrong = post(billing, "statements", team=world.team.pk, month="2026-10", client=other.pk)
    assert wrong.status_code == 400
    assert post(billing, "statements/issue", month="2026-10").status_code == 202
    assert JobRun.objects.get(name="issue-statements").arguments["month"] == "2026-10"
    own = browser_of(make_person("billing_admin", world.team))
    assert post(own, "statements", team=world.team.pk, month="2026-10").status_code == 403
    assert post(billing, "statements/credit-notes", team=world.team.pk).status_code == 409
