"""Budgets of all scopes and periods by the ledger: what is booked, and what a restart finds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from apps.billing import budget_limits, budget_windows, shared_limits
from apps.billing.budget_use import uses_of
from apps.billing.limits import BudgetState, Demand, LocalLimits, ScopeLimits
from apps.billing.models import Budget, BudgetRaise, BudgetStage, BudgetWindow
from chatvault.lib import clock
from chatvault.lib.errors import BudgetHeld
from tests.factories import make_alias, make_ledger_entry, make_team, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def charge(nano: int, at: datetime = NOW, **more) -> budget_windows.Charge:
    """Charged, as ingest does it: the entry, then the sums."""
    tags = more.pop("tags", {})
    make_ledger_entry(amount_nano=-nano, booked_at=at, tags=tags or None, **more)
    made = budget_windows.Charge(
        more.get("team_id", 1), 1, 1, int(at.timestamp()), nano,
        more.get("user_id", 0), more.get("alias", ""), 0, tuple(tags.items()),
    )  # fmt: skip
    budget_windows.book([made], at)
    return made


def windows() -> dict[tuple[int, datetime], int]:
    rows = BudgetWindow.objects.values_list("budget_id", "starts_at", "settled_nano")
    return {(budget_id, at): nano for budget_id, at, nano in rows}


def from_the_ledger() -> dict[tuple[int, datetime], int]:
    scopes = {scope.budget_id: scope for scope in budget_windows.scopes_of()}
    return {
        (budget_id, at): budget_windows.spent(
            budget_windows.window_of(scopes[budget_id], int(at.timestamp()))
        )
        for budget_id, at in windows()
    }


def spent(*budgets: Budget, now: datetime = NOW) -> list[int]:
    uses = uses_of(budgets, now)
    return [uses[budget.pk].spent_nano for budget in budgets]


def test_people_models_and_tags_have_budgets_of_their_own():
    person, alias = make_user(), make_alias(name="m")
    on_person = Budget.objects.create(user=person, amount_nano=100, period="week")
    on_alias = Budget.objects.create(alias=alias, amount_nano=100)
    on_tag = Budget.objects.create(tag="a.project-x=Atlas 1", amount_nano=100, period="day")
    other_tag = Budget.objects.create(tag="a.project-x=Atlas 2", amount_nano=100, period="day")
    charge(7, user_id=person.pk, alias="m", tags={"a.project-x": "Atlas 1", "env": "prod"})
    charge(5, user_id=person.pk, alias="other")
    charge(3, alias="m", tags={"env": "prod"})
    budgets = (on_person, on_alias, on_tag, other_tag)
    assert spent(*budgets) == [12, 10, 7, 0]
    assert windows() == from_the_ledger()
    BudgetWindow.objects.all().delete()
    assert spent(*budgets) == [12, 10, 7, 0]


def test_a_day_of_a_zone_takes_what_is_of_it():
    berlin = Budget.objects.create(
        team=make_team(), amount_nano=100, period="day", time_zone="Europe/Berlin"
    )
    team_id = berlin.team_id
    charge(1, datetime(2026, 10, 24, 21, 59, 59, tzinfo=UTC), team_id=team_id)
    charge(2, datetime(2026, 10, 24, 22, 0, tzinfo=UTC), team_id=team_id)
    charge(4, datetime(2026, 10, 25, 22, 59, 59, tzinfo=UTC), team_id=team_id)
    charge(8, datetime(2026, 10, 25, 23, 0, tzinfo=UTC), team_id=team_id)
    assert spent(berlin, now=datetime(2026, 10, 25, 12, tzinfo=UTC)) == [6]
    assert windows() == from_the_ledger()


async def _room_after_a_restart(states, limit, nano):
    limits = LocalLimits(wall_ns=lambda: int(NOW.timestamp()) * 10**9)
    limits.restore(states)
    scope = (ScopeLimits("team", 1, budgets=(limit,)),)
    await limits.reserve(b"a" * 16, scope, Demand(0, nano))
    with pytest.raises(BudgetHeld):
        await limits.reserve(b"b" * 16, scope, Demand(0, 1))


@pytest.mark.parametrize("has_rows", [True, False], ids=["rows", "ledger"])
def test_a_restart_finds_all_blocks_of_a_rolling_budget(has_rows):
    from asgiref.sync import async_to_sync

    budget = Budget.objects.create(
        team=make_team(), amount_nano=100, period="rolling", length_days=30
    )
    for days, nano in ((40, 50), (29, 10), (12, 20), (0, 5)):
        charge(nano, NOW - timedelta(days=days), team_id=budget.team_id)
    if not has_rows:
        BudgetWindow.objects.all().delete()
        Budget.objects.update(created_at=NOW)
        budget.refresh_from_db()
    assert spent(budget) == [35]
    [scope] = budget_windows.scopes_of([budget.pk])
    blocks = budget_windows.windows_of(scope, int(NOW.timestamp()))
    assert len(blocks) == 31
    states = [
        BudgetState(row.budget_id, row.start_s, row.settled_nano)
        for row in budget_windows.settled(blocks).values()
    ]
    [limit] = budget_limits.limits_of([budget], NOW)
    async_to_sync(_room_after_a_restart)(states, limit, 65)
    with clock_at(NOW):
        [loaded] = shared_limits.loaded([budget.pk])
    assert loaded.period == "rolling:30"
    assert loaded.oldest_s == blocks[0].start_s
    assert sum(nano for _, nano, _ in loaded.windows) == 35


def clock_at(moment: datetime):
    from unittest.mock import patch

    return patch.object(clock, "wall_s", moment.timestamp)


def test_what_is_left_rolls_over_once_and_at_most_the_amount():
    made = {"amount_nano": 100, "period": "month", "rolls_over": True}
    some, none, much, late = (Budget.objects.create(team=make_team(), **made) for _ in range(4))
    Budget.objects.exclude(pk=late.pk).update(created_at=NOW - timedelta(days=90))
    late.refresh_from_db()
    october = datetime(2026, 10, 12, tzinfo=UTC)
    charge(30, october, team_id=some.team_id)
    charge(150, october, team_id=none.team_id)
    charge(-20, october, team_id=much.team_id)
    Budget.objects.filter(pk=late.pk).update(created_at=NOW)
    budgets = list(Budget.objects.order_by("pk"))
    november = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
    limits = budget_limits.limits_of(budgets, NOW)
    assert [limit.rolled for limit in limits] == [
        ((november, 70),), ((november, 0),), ((november, 100),), (),
    ]  # fmt: skip
    assert uses_of(budgets, NOW)[some.pk].amount_nano == 170


def test_only_raises_that_are_approved_count_and_stages_come_along():
    budget = Budget.objects.create(team=make_team(), amount_nano=100)
    span = {"starts_at": NOW, "ends_at": NOW + timedelta(days=1), "reason": "launch"}
    for state, extra in (("asked", 1), ("approved", 10), ("declined", 100), ("ended", 1000)):
        BudgetRaise.objects.create(budget=budget, extra_nano=extra, state=state, **span)
    [limit] = budget_limits.limits_of([budget], NOW)
    assert (limit.refuses_at, limit.stages) == (100, ())
    assert uses_of([budget], NOW)[budget.pk].amount_nano == 110
    assert uses_of([budget], NOW + timedelta(days=1))[budget.pk].amount_nano == 100
    BudgetStage.objects.create(budget=budget, at_percent=80, action="warn")
    [limit] = budget_limits.limits_of([budget], NOW)
    assert (limit.refuses_at, [one.action for one in limit.stages]) == (None, ["warn"])
    BudgetStage.objects.create(budget=budget, at_percent=120, action="refuse")
    [limit] = budget_limits.limits_of([budget], NOW)
    assert (limit.refuses_at, [one.action for one in limit.stages]) == (120, ["warn"])


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("length_days", {"period": "rolling"}),
        ("length_days", {"period": "custom", "starts_on": date(2026, 1, 1)}),
        ("length_days", {"period": "rolling", "length_days": 401}),
        ("starts_on", {"period": "custom", "length_days": 7}),
        ("time_zone", {"time_zone": "Europe/Atlantis"}),
        ("rolls_over", {"period": "total", "rolls_over": True}),
        ("tag", {"tag": "Project=x"}),
        ("tag", {"tag": "project="}),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(field, values):
    with pytest.raises(ValidationError) as refused:
        Budget(amount_nano=1, **values).clean()
    assert list(refused.value.message_dict) == [field]
