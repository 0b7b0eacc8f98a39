"""Raises of budgets: one asks, another approves, and every step leaves its trace."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.billing.budget_use import uses_of
from apps.billing.models import Budget, BudgetRaise
from apps.configuration.models import Announcement
from chatvault.lib import clock
from tests.factories import make_alias, make_budget, make_person

pytestmark = pytest.mark.django_db
USD = 10**9
ADD = "admin:billing_budgetraise_add"
CHANGE = "admin:billing_budgetraise_change"


@pytest.fixture
def budget() -> Budget:
    return make_budget(amount_nano=USD)


def signed_in(role: str, team: Any = None) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role, team))
    return browser


def ask(browser: Browser, budget: Budget, *, starts: int = -2, ends: int = 3, **fields: str) -> Any:
    now = clock.now()
    data = {"budget": budget.pk, "extra_usd": "5", "reason": "launch"}
    for name, days in (("starts_at", starts), ("ends_at", ends)):
        day = now + timedelta(days=days)
        data |= {f"{name}_0": f"{day:%Y-%m-%d}", f"{name}_1": "00:00:00"}
    return browser.post(reverse(ADD), data | fields)


def decide(browser: Browser, decision: str) -> int:
    url = reverse(CHANGE, args=[BudgetRaise.objects.get().pk])
    return browser.post(url, {"decision": decision}).status_code


def amount(budget: Budget) -> int:
    return uses_of([budget], clock.now())[budget.pk].amount_nano


def announced() -> int:
    return Announcement.objects.filter(topic="billing.limits").count()


def test_who_asks_cannot_approve_and_another_can(budget):
    one, other = signed_in("billing_admin"), signed_in("billing_admin")
    assert ask(one, budget).status_code == 302
    assert (amount(budget), announced()) == (USD, 0)
    page = one.get(reverse(CHANGE, args=[BudgetRaise.objects.get().pk]))
    offered = page.context["adminform"].form.fields["decision"].choices
    assert [word for word, _ in offered] == ["", "approve", "decline"]  # nothing there is to end
    assert decide(one, "approve") == 200
    assert BudgetRaise.objects.get().state == "asked"
    assert decide(other, "approve") == 302
    row = BudgetRaise.objects.get()
    assert (row.state, row.extra_nano) == ("approved", 5 * USD)
    assert row.approver_name not in ("", row.author_name)
    assert (amount(budget), announced()) == (6 * USD, 1)
    assert decide(one, "approve") == 200
    assert decide(one, "decline") == 200
    assert decide(one, "end") == 302
    assert (amount(budget), announced()) == (USD, 2)
    events = AuditEvent.objects.filter(target_type="billing.budgetraise").order_by("pk")
    assert [(each.action, each.after["state"]) for each in events] == [
        ("budget_raise.added", "asked"), ("budget_raise.approved", "approved"),
        ("budget_raise.ended", "ended"),
    ]  # fmt: skip
    assert {each.team_id for each in events} == {budget.client.team_id}


def test_an_approved_raise_ends_by_itself(budget):
    ask(signed_in("billing_admin"), budget)
    decide(signed_in("billing_admin"), "approve")
    later = clock.now() + timedelta(days=3)
    assert uses_of([budget], later)[budget.pk].amount_nano == USD


def test_who_may_do_everything_may_approve_their_own(budget):
    owner = signed_in("owner")
    ask(owner, budget)
    assert decide(owner, "approve") == 302
    assert amount(budget) == 6 * USD


def test_team_admins_ask_and_take_back_and_the_team_s_billing_admin_decides(budget):
    team = budget.client.team
    lead, money = signed_in("admin", team), signed_in("billing_admin", team)
    assert ask(lead, budget).status_code == 302
    assert decide(signed_in("admin", team), "decline") == 200
    assert decide(lead, "approve") == 200
    assert decide(money, "approve") == 302
    BudgetRaise.objects.update(state="asked")
    assert decide(lead, "decline") == 302
    assert BudgetRaise.objects.get().state == "declined"


def test_the_budget_of_the_team_itself_is_raised_from_above(budget):
    team = budget.client.team
    own = make_budget(team=team)
    assert ask(signed_in("admin", team), own).status_code == 302
    assert decide(signed_in("billing_admin", team), "approve") == 200
    assert decide(signed_in("billing_admin"), "approve") == 302


def test_others_neither_ask_nor_see(budget):
    stranger = signed_in("admin", make_budget().client.team)
    assert ask(stranger, budget).status_code == 200
    assert ask(stranger, make_budget(alias=make_alias())).status_code == 200
    for role in ("member", "operator"):
        assert ask(signed_in(role, budget.client.team), budget).status_code == 403
    assert ask(signed_in("operator"), budget).status_code == 403
    assert not BudgetRaise.objects.exists()
    ask(signed_in("owner"), budget)
    assert decide(stranger, "approve") == 404


@pytest.mark.parametrize(
    "wrong",
    [{"starts": 4}, {"ends": -1}, {"extra_usd": "0"}, {"extra_usd": "-1"}, {"reason": ""}],
    ids=str,
)
def test_what_makes_no_sense_is_refused(budget, wrong):
    assert ask(signed_in("owner"), budget, **wrong).status_code == 200
    assert not BudgetRaise.objects.exists()


def test_one_whose_time_is_over_is_not_approved(budget):
    ask(signed_in("billing_admin"), budget)
    BudgetRaise.objects.update(ends_at=clock.now() - timedelta(hours=1))
    assert decide(signed_in("billing_admin"), "approve") == 200
    assert BudgetRaise.objects.get().state == "asked"


def test_the_page_of_a_budget_tells_of_its_raises(budget):
    owner = signed_in("owner")
    url = reverse("admin:billing_budget_change", args=[budget.pk])
    assert f"{reverse(ADD)}?budget={budget.pk}" in owner.get(url).content.decode()
    ask(owner, budget)
    assert "asked for" in owner.get(url).content.decode()
    decide(owner, "approve")
    assert "$5.00 until" in owner.get(url).content.decode()


def test_the_list_asks_as_often_for_many_as_for_one(budget, django_assert_max_num_queries):
    owner, url = signed_in("owner"), reverse("admin:billing_budgetraise_changelist")
    ask(owner, budget)
    owner.get(url)
    with django_assert_max_num_queries(30) as few:
        assert owner.get(url).status_code == 200
    asked = len(few)
    for _ in range(4):
        ask(owner, make_budget())
    with django_assert_max_num_queries(asked):
        assert owner.get(url).content.count(b"launch") >= 5
