"""The monthly close and match rules by the REST API."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client as Browser

from apps.audit.models import AuditEvent
from apps.billing.models import ClosedPeriod
from apps.configuration.models import JobRun
from apps.invoicing import closing
from apps.invoicing.models import MatchRule, MonthClose
from apps.invoicing.reconcile import compare
from chatvault.lib import clock
from tests.factories import World, make_person, make_user
from tests.invoicing.test_admin import browser_of
from tests.invoicing.test_api import JSON, post
from tests.invoicing.test_reconcile import MODEL, NANO, quiet
from tests.invoicing.world import FIRST, accepted, at, roll_up, spend

pytestmark = pytest.mark.django_db
CLOSES = "closed-periods"
RULES = "match-rules"


@pytest.fixture(autouse=True)
def _november(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 10, 9, 30, tzinfo=UTC))


@pytest.fixture
def billing(db: None) -> Browser:
    return browser_of(make_person("billing_admin", None))


def told_of(topic: str) -> list[str]:
    rows = AuditEvent.objects.filter(topic=topic).order_by("pk")
    return list(rows.values_list("action", flat=True))


def param_of(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["param"]


def test_a_month_from_its_checks_to_reopening(world: World, billing: Browser):
    spend(world, at(FIRST), cost=0, charged=NANO)
    roll_up()
    made = post(billing, CLOSES, month="2026-10")
    assert made.status_code == 201, made.text
    assert (made.json()["month"], made.json()["state"]) == ("2026-10", "checking")
    assert JobRun.objects.get().name == "check-month"
    row = MonthClose.objects.get()
    url = f"{CLOSES}/{row.pk}"
    closing.check(row, quiet)
    assert billing.get(f"/api/v1/{url}").json()["in_the_way"] == ["No late rows are awaited"]
    refused = post(billing, f"{url}/close")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert not ClosedPeriod.objects.exists()
    assert post(billing, f"{url}/waive", check_name="ledger", reason="x").status_code == 409
    assert param_of(post(billing, f"{url}/waive", check_name="late_rows")) == (400, "reason")
    waived = post(billing, f"{url}/waive", check_name="late_rows", reason="agreed").json()
    assert (waived["state"], waived["waivers"]["late_rows"]["reason"]) == ("ready", "agreed")
    assert post(billing, f"{url}/close").json()["state"] == "closed"
    assert ClosedPeriod.objects.get().team_id is None
    twice = post(billing, CLOSES, month="2026-10")
    assert (twice.status_code, twice.json()["error"]["message"]) == (
        409, "2026-10 is closed already, or is being closed.",
    )  # fmt: skip
    assert post(billing, f"{url}/check").status_code == 409
    assert post(billing, f"{url}/give-up").status_code == 409
    assert post(billing, f"{url}/reopen", reason="a mistake").status_code == 403
    owner = browser_of(make_user(username="ada", is_staff=True, is_superuser=True))
    assert param_of(post(owner, f"{url}/reopen", reason=" ")) == (400, "reason")
    assert ClosedPeriod.objects.exists()
    assert post(owner, f"{url}/reopen", reason="a mistake").json()["state"] == "reopened"
    assert not ClosedPeriod.objects.exists()
    assert told_of("monthclose") == [
        "monthclose.begun", "monthclose.waived", "monthclose.closed", "monthclose.reopened",
    ]  # fmt: skip


def test_a_close_that_is_given_up_leaves_the_month_open(billing: Browser):
    url = f"{CLOSES}/{post(billing, CLOSES, month='2026-10').json()['id']}"
    assert post(billing, f"{url}/check").json()["state"] == "checking"
    assert post(billing, f"{url}/give-up").json()["state"] == "given_up"
    assert post(billing, CLOSES, month="2026-10").status_code == 201
    found = billing.get(f"/api/v1/{CLOSES}?state=given_up").json()["results"]
    assert [row["month"] for row in found] == ["2026-10"]


@pytest.mark.parametrize(
    ("asked", "status", "param"),
    [
        pytest.param({"month": "2026-11"}, 409, None, id="not-over"),
        pytest.param({"month": "2026-13"}, 400, "month", id="no-month"),
        pytest.param({}, 400, "month", id="left-out"),
        pytest.param({"month": "2026-10", "team": 1}, 400, "team", id="of-one-team"),
    ],
)
def test_what_cannot_be_closed_is_refused_and_leaves_nothing(
    billing: Browser, asked: dict[str, Any], status: int, param: str | None
):
    assert param_of(post(billing, CLOSES, **asked)) == (status, param)
    assert not MonthClose.objects.exists()
    assert not JobRun.objects.exists()


def test_match_rules(world: World, billing: Browser):
    asked = {"provider": world.provider.pk, "billed_model": "gpt-4o-*", "model": "gpt-4o"}
    made = post(billing, RULES, **asked)
    assert made.status_code == 201, made.text
    url = f"/api/v1/{RULES}/{made.json()['id']}"
    assert post(billing, RULES, **asked).status_code == 409
    assert param_of(post(billing, RULES, **asked | {"provider": 10**6})) == (400, "provider")
    assert param_of(post(billing, RULES, **asked | {"price": 1})) == (400, "price")
    assert param_of(post(billing, RULES, provider=world.provider.pk)) == (400, "billed_model")
    changed = billing.patch(url, {"model": ""}, content_type=JSON)
    assert (changed.json()["billed_model"], changed.json()["model"]) == ("gpt-4o-*", "")
    found = billing.get(f"/api/v1/{RULES}?provider={world.provider.pk}").json()["results"]
    assert [row["id"] for row in found] == [made.json()["id"]]
    assert billing.delete(url).status_code == 204
    assert billing.get(url).status_code == 404
    assert told_of("matchrule") == ["matchrule.added", "matchrule.changed", "matchrule.deleted"]


def test_a_rule_holds_from_the_next_comparison_on(world: World, billing: Browser):
    spend(world, at(FIRST), cost=NANO, charged=NANO)
    bill = accepted(world, "2026-10-01,their name for it,3,USD")
    compare(bill)
    assert (bill.matches.count(), bill.lines.get().unmatched) == (1, "unknown model")
    asked = {"provider": world.provider.pk, "billed_model": "THEIR NAME*", "model": MODEL}
    assert post(billing, RULES, **asked).status_code == 201
    compare(bill)
    [match] = billing.get(f"/api/v1/bills/{bill.pk}/matches").json()["results"]
    assert (match["model"], match["drift_usd"]) == (MODEL, "2.000000000")


def test_both_are_of_the_whole_installation(world: World, billing: Browser):
    row = MonthClose.objects.get(pk=post(billing, CLOSES, month="2026-10").json()["id"])
    rule = MatchRule.objects.create(provider=world.provider, billed_model="x", model="y")
    own = browser_of(make_person("billing_admin", world.team))
    auditor = browser_of(make_person("auditor", None))
    for url in (f"{CLOSES}/{row.pk}", f"{RULES}/{rule.pk}"):
        assert own.get(f"/api/v1/{url}").status_code == 404
        assert auditor.get(f"/api/v1/{url}").status_code == 200
    assert post(auditor, f"{CLOSES}/{row.pk}/give-up").status_code == 403
    assert auditor.delete(f"/api/v1/{RULES}/{rule.pk}").status_code == 403
    assert post(own, CLOSES, month="2026-09").status_code == 403
    asked = {"provider": world.provider.pk, "billed_model": "z", "model": ""}
    assert post(own, RULES, **asked).status_code == 403
    assert (MonthClose.objects.get().state, MatchRule.objects.count()) == ("checking", 1)
    assert Browser().get(f"/api/v1/{CLOSES}").status_code == 401
