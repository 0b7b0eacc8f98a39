"""Budgets and their raises by the REST API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser

from apps.audit.models import AuditEvent
from apps.billing import held
from apps.billing.budget_use import uses_of
from apps.billing.models import Budget, BudgetRaise, BudgetStage
from apps.configuration.models import Announcement
from chatvault.lib import clock
from tests.factories import (
    make_alias,
    make_budget,
    make_client,
    make_key,
    make_ledger_entry,
    make_person,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db
JSON = "application/json"
USD = 10**9


def browser_of(role: str, team: Any = None) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role, team))
    return browser


@pytest.fixture
def owner() -> Browser:
    return browser_of("owner")


@pytest.fixture
def team() -> Any:
    return make_team()


@pytest.fixture
def holding():
    yield lambda nano: held.register(lambda budgets: {b.id: nano for b in budgets})
    held.register(None)


def post(browser: Browser, path: str, **data: Any) -> Any:
    return browser.post(f"/api/v1/{path}", data, content_type=JSON)


def patch(browser: Browser, budget: Any, **data: Any) -> Any:
    return browser.patch(f"/api/v1/budgets/{budget}", data, content_type=JSON)


def told() -> int:
    return Announcement.objects.filter(topic="billing.limits").count()


def test_a_budget_of_every_kind_is_made_changed_and_deleted(owner):
    targets = {
        "team": make_team().pk, "client": make_client().pk, "key": make_key().key.pk,
        "user": make_user().pk, "alias": make_alias().pk, "tag": "project=atlas",
    }  # fmt: skip
    for kind, target in targets.items():
        made = post(owner, "budgets", **{kind: target}, amount_usd="12.5")
        assert made.status_code == 201, made.json()
        number = made.json()["id"]
        row = Budget.objects.get(pk=number)
        assert (row.kind, row.period, row.amount_nano) == (kind, "month", 12_500_000_000)
        assert made.json()[kind] == target
        before = told()
        assert patch(owner, number, amount_usd="13").json()["amount_usd"] == "13.000000000"
        assert told() > before
        assert owner.delete(f"/api/v1/budgets/{number}").status_code == 204
    assert not Budget.objects.exists()
    events = AuditEvent.objects.filter(target_type="billing.budget").values_list(
        "action", flat=True
    )
    assert sorted(set(events)) == ["budget.added", "budget.changed", "budget.deleted"]


def test_stages_are_put_and_replaced_whole_or_not_at_all(owner):
    alias = make_alias()
    stages = [
        {"at_percent": 50, "action": "warn"},
        {"at_percent": 80, "action": "throttle", "requests_per_minute": 6},
        {"at_percent": 90, "action": "degrade", "alias": alias.pk},
        {"at_percent": 100, "action": "refuse"},
    ]
    client = make_client()
    made = post(owner, "budgets", client=client.pk, amount_usd="1", stages=stages)
    full = {"requests_per_minute": None, "alias": None}
    assert made.json()["stages"] == [full | stage for stage in stages]
    number = made.json()["id"]
    assert patch(owner, number, is_active=False).json()["stages"] == made.json()["stages"]
    wrong = [{"at_percent": 1, "action": "warn"}, {"at_percent": 5, "action": "throttle"}]
    assert patch(owner, number, stages=wrong).status_code == 400
    assert patch(owner, number, stages=[stages[0], stages[0]]).status_code == 400
    assert BudgetStage.objects.count() == 4
    assert patch(owner, number, stages=stages[:1]).json()["stages"] == [full | stages[0]]
    assert patch(owner, number, stages=[]).json()["stages"] == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"client": None}, "client"),
        ({"tag": "a=b"}, "tag"),
        ({"client": None, "tag": "A b"}, "tag"),
        ({"client": 10**12}, "client"),
        ({"amount_usd": "-1"}, "amount_usd"),
        ({"amount_usd": "1e30"}, "amount_usd"),
        ({"amount_usd": "0.0000000001"}, "amount_usd"),
        ({"period": "year"}, "period"),
        ({"period": "rolling"}, "length_days"),
        ({"period": "rolling", "length_days": 401}, "length_days"),
        ({"period": "custom", "length_days": 5}, "starts_on"),
        ({"length_days": 5}, "length_days"),
        ({"starts_on": "2026-01-05"}, "starts_on"),
        ({"time_zone": "Nowhere/Land"}, "time_zone"),
        ({"period": "total", "rolls_over": True}, "rolls_over"),
        ({"stages": [{"at_percent": 0, "action": "warn"}]}, "stages"),
        ({"stages": [{"at_percent": 5, "action": "warn", "colour": "red"}]}, "stages"),
        ({"provider": 1}, "provider"),
        ({"use": {}}, "use"),
        ({"owner": 5}, "owner"),
    ],
    ids=str,
)
def test_bad_budgets_are_refused_by_field_and_nothing_is_saved(owner, changes, field):
    refused = post(owner, "budgets", **{"client": make_client().pk, "amount_usd": "1"} | changes)
    assert refused.status_code == 400
    assert field in str(refused.json()["error"]["fields"])
    assert not Budget.objects.exists()


def test_periods_of_every_shape_and_what_stays(owner):
    client = make_client()
    shapes = [
        {"period": "day", "time_zone": "Europe/Berlin", "rolls_over": True},
        {"period": "rolling", "length_days": 30},
        {"period": "custom", "length_days": 14, "starts_on": "2026-01-05"},
        {"period": "total"},
    ]
    for shape in shapes:
        made = post(owner, "budgets", client=client.pk, amount_usd="1", **shape)
        assert made.status_code == 201, made.json()
        assert made.json() | shape == made.json()
    assert post(owner, "budgets", client=client.pk, amount_usd="1", **shapes[1]).status_code == 409
    number = made.json()["id"]
    for change in ({"period": "day"}, {"client": make_client().pk}, {"tag": "a=b"}):
        assert patch(owner, number, **change).status_code == 400
    assert Budget.objects.get(pk=number).period == "total"


def test_use_is_told_in_few_queries(owner, holding, django_assert_max_num_queries):
    budget = make_budget(amount_nano=10 * USD)
    make_ledger_entry(client_id=budget.client_id, amount_nano=-4 * USD)
    use = owner.get(f"/api/v1/budgets/{budget.pk}").json()["use"]
    assert use == {
        "amount_usd": "10.000000000", "spent_usd": "4.000000000", "held_usd": None,
        "left_usd": "6.000000000", "share": 0.4,
    }  # fmt: skip
    holding(USD)
    with django_assert_max_num_queries(30) as few:
        [listed] = owner.get("/api/v1/budgets").json()["results"]
    asked = len(few)
    assert (listed["use"]["held_usd"], listed["use"]["share"]) == ("1.000000000", 0.5)
    for _ in range(5):
        make_budget()
    with django_assert_max_num_queries(asked):
        assert len(owner.get("/api/v1/budgets").json()["results"]) == 6


def test_people_of_a_team_see_their_own_and_no_other(team):
    mine, own = make_budget(client=make_client(team=team)), make_budget(team=team)
    foreign = [make_budget(), make_budget(alias=make_alias()), make_budget(tag="a=b", client=None)]
    money = browser_of("billing_admin", team)
    listed = money.get("/api/v1/budgets").json()["results"]
    assert {row["id"] for row in listed} == {mine.pk, own.pk}
    assert patch(money, mine.pk, amount_usd="7").status_code == 200
    assert patch(money, own.pk, amount_usd="7").status_code == 403
    for budget in foreign:
        assert money.get(f"/api/v1/budgets/{budget.pk}").status_code == 404
        assert patch(money, budget.pk, amount_usd="7").status_code == 404
        assert money.get(f"/api/v1/budgets/{budget.pk}/raises").status_code == 404
        assert ask(money, budget).status_code == 404
    assert post(money, "budgets", tag="c=d", amount_usd="1").status_code == 403
    assert patch(browser_of("admin", team), mine.pk, amount_usd="8").status_code == 403
    assert money.get(f"/api/v1/budgets?client={mine.client_id}&scope=client").json()["results"]
    assert money.get("/api/v1/budgets?colour=red").status_code == 400


def ask(browser: Browser, budget: Budget, **changes: Any) -> Any:
    now = clock.now()
    good = {"extra_usd": "5", "starts_at": now, "ends_at": now + timedelta(days=1), "reason": "why"}
    return post(browser, f"budgets/{budget.pk}/raises", **good | changes)


def test_a_raise_is_asked_for_approved_by_another_and_ended(team):
    budget = make_budget(client=make_client(team=team), amount_nano=USD)
    lead, money = browser_of("admin", team), browser_of("billing_admin", team)
    asked = ask(lead, budget)
    assert (asked.status_code, asked.json()["state"]) == (201, "asked")
    path = f"budgets/{budget.pk}/raises/{asked.json()['id']}"
    assert post(lead, f"{path}/approve").status_code == 403
    assert post(money, f"{path}/end").status_code == 409
    assert post(money, f"{path}/approve", reason="x").status_code == 400
    approved = post(money, f"{path}/approve")
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert uses_of([budget], clock.now())[budget.pk].amount_nano == 6 * USD
    assert post(money, f"{path}/approve").status_code == 409
    assert post(money, f"{path}/end").json()["state"] == "ended"
    assert uses_of([budget], clock.now())[budget.pk].amount_nano == USD
    assert told() == 2
    [listed] = money.get(f"/api/v1/budgets/{budget.pk}/raises?state=ended").json()["results"]
    assert listed == money.get(f"/api/v1/{path}").json()
    other = make_budget(client=budget.client, period="day")
    stray = path.replace(f"/{budget.pk}/", f"/{other.pk}/")
    assert money.get(f"/api/v1/{stray}").status_code == 404


def test_own_raises_are_taken_back_and_not_approved(team):
    budget = make_budget(client=make_client(team=team))
    money, lead = browser_of("billing_admin", team), browser_of("admin", team)
    path = f"budgets/{budget.pk}/raises/{ask(money, budget).json()['id']}"
    assert post(money, f"{path}/approve").status_code == 403
    assert post(lead, f"{path}/decline").status_code == 403
    assert post(money, f"{path}/decline").json()["state"] == "declined"
    assert ask(browser_of("member", team), budget).status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"extra_usd": "0"}, {"extra_usd": "-1"}, {"reason": ""}, {"ends_at": "2020-01-01T00:00Z"},
        {"starts_at": "2999-01-01T00:00Z"}, {"state": "approved"}, {"author_name": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_raises_that_make_no_sense_are_refused(owner, wrong):
    assert ask(owner, make_budget(), **wrong).status_code == 400
    assert not BudgetRaise.objects.exists()
