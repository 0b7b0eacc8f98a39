"""Lines that a budget has of its own: on its page and by the REST API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.alerts import budgets
from apps.alerts.models import Alert, BudgetLines, Channel
from apps.audit.models import AuditEvent
from tests.alerts.test_budget_lines import NOW, USD, spend
from tests.audit.pages import posted
from tests.factories import make_budget, make_client, make_person, make_team
from tests.factories.alerts import make_channel, make_delivery

pytestmark = pytest.mark.django_db
JSON = "application/json"


def signed_in(role: str = "owner", team: Any = None) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role, team))
    return browser


def test_a_budget_is_told_of_at_its_own_lines() -> None:
    own = make_budget(amount_nano=10 * USD)
    BudgetLines.objects.create(budget=own, percents=[50, 120])
    other = make_budget(amount_nano=10 * USD)
    for usd in (5, 8, 10, 12):
        for budget in (own, other):
            spend(budget, usd)
        budgets.look(NOW)
    told = [(alert.facts["budget"], alert.facts["line_percent"]) for alert in Alert.objects.all()]
    assert sorted(told) == [(own.pk, 50), (own.pk, 120), (other.pk, 80), (other.pk, 100)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("50, 80,100", [50, 80, 100]), ("100 %,50%", [50, 100]), ("80,80", [80]), (" 1000 ", [1000])],
    ids=["plain", "signs", "twice", "most"],
)
def test_lines_as_people_write_them(text: str, expected: list[int]) -> None:
    assert budgets.percents_of(text) == expected


@pytest.mark.parametrize(
    "text", ["", ",", "0", "-1", "80.5", "1001", "eighty", "٨٠", ",".join(map(str, range(1, 12)))],
    ids=["empty", "comma", "zero", "negative", "fraction", "large", "word", "digits", "many"],
)  # fmt: skip
def test_lines_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="Write"):
        budgets.percents_of(text)


def test_they_are_written_on_the_page_of_the_budget() -> None:
    browser = signed_in()
    budget = make_budget()
    url = reverse("admin:billing_budget_change", args=[budget.pk])
    more = {"alert_lines-TOTAL_FORMS": "1", "alert_lines-0-percents": "100, 50",
            "alert_lines-0-budget": str(budget.pk)}  # fmt: skip
    posted(browser, url, **more)
    assert BudgetLines.objects.get().percents == [50, 100]
    assert "50, 100" in browser.get(url).content.decode()
    assert "[50, 100]" in str(list(AuditEvent.objects.values("after")))
    posted(browser, url, **{"alert_lines-0-percents": "75"})
    assert BudgetLines.objects.get().percents == [75]
    data = {"alert_lines-0-percents": "seventy", "alert_lines-0-id": "1"}
    with pytest.raises(AssertionError, match="Write whole percents"):
        posted(browser, url, **data)
    add = browser.get(reverse("admin:billing_budget_add"))
    assert b"alert_lines" not in add.content


def test_they_are_written_by_the_api() -> None:
    owner = signed_in()
    budget = make_budget()

    def post(**data: Any) -> Any:
        return owner.post("/api/v1/budget-lines", data, content_type=JSON)

    made = post(budget=budget.pk, percents=[100, 50, 50])
    assert (made.status_code, made.json()["percents"]) == (201, [50, 100])
    assert post(budget=budget.pk, percents=[1]).status_code == 409
    for wrong in ([], [0], [1001], ["x"], [True] * 11):
        assert post(budget=make_budget().pk, percents=wrong).status_code == 400
    url = f"/api/v1/budget-lines/{made.json()['id']}"
    changed = owner.patch(url, {"percents": [90]}, content_type=JSON)
    assert changed.json()["percents"] == [90]
    moved = owner.patch(url, {"budget": make_budget().pk}, content_type=JSON)
    assert moved.status_code == 400
    assert owner.delete(url).status_code == 204
    actions = AuditEvent.objects.filter(topic="budgetlines").order_by("id")
    assert [event.action.partition(".")[2] for event in actions] == ["added", "changed", "deleted"]


def test_a_team_sets_lines_of_its_clients_alone() -> None:
    ours = make_team()
    browser = signed_in("billing_admin", ours)
    whole, part = make_budget(team=ours), make_budget(client=make_client(team=ours))
    foreign = make_budget()

    def post(budget: Any) -> int:
        data = {"budget": budget.pk, "percents": [50]}
        return int(browser.post("/api/v1/budget-lines", data, content_type=JSON).status_code)

    assert [post(each) for each in (part, whole, foreign)] == [201, 403, 400]


def test_a_team_with_channels_can_be_deleted() -> None:
    team = make_team()
    make_delivery(channel=make_channel(team=team))
    url = reverse("admin:accounts_team_delete", args=[team.pk])
    assert signed_in().post(url, {"post": "yes"}).status_code == 302
    assert not Channel.objects.exists()


def test_a_budget_with_lines_can_be_deleted_by_who_may_delete_it() -> None:
    team = make_team()
    budget = make_budget(client=make_client(team=team))
    BudgetLines.objects.create(budget=budget, percents=[50])
    url = reverse("admin:billing_budget_delete", args=[budget.pk])
    assert signed_in("billing_admin", team).post(url, {"post": "yes"}).status_code == 302
    assert not BudgetLines.objects.exists()
