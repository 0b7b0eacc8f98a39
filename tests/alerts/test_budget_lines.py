"""Budgets that reach a line are told of once a window and line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.alerts import budgets
from apps.alerts.models import Alert, BudgetWatch
from apps.billing import budget_windows
from apps.billing.models import Budget, BudgetRaise, BudgetStage, BudgetWindow
from tests.factories import (
    make_alias,
    make_budget,
    make_client,
    make_provider,
    make_team,
    make_user,
)
from tests.factories.billing import make_ledger_entry

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 9, 21, 13, 7, tzinfo=UTC)
MONTH = datetime(2026, 9, 1, tzinfo=UTC)
USD = 10**9


def spend(budget: Budget, usd: float, starts_at: datetime = MONTH) -> None:
    """The window says so much, as after a booking."""
    BudgetWindow.objects.update_or_create(
        budget=budget, starts_at=starts_at, defaults={"settled_nano": round(usd * USD)}
    )


def told() -> list[int]:
    return [alert.facts["line_percent"] for alert in Alert.objects.order_by("pk")]


def test_each_line_is_told_once_and_only_the_highest_that_was_passed() -> None:
    budget = make_budget(amount_nano=10 * USD)
    for usd, expected in [
        (0, []),
        (7.999999999, []),
        (8, [80]),
        (9.5, [80]),
        (10, [80, 100]),
        (25, [80, 100]),
    ]:
        spend(budget, usd)
        for _ in range(2):
            budgets.look(NOW)
        assert told() == expected, usd
    other = make_budget(amount_nano=10 * USD)
    spend(other, 12)
    assert budgets.look(NOW) == 1
    assert told() == [80, 100, 100]


def test_what_it_says() -> None:
    team = make_team(name="research")
    budget = make_budget(team=team, amount_nano=10 * USD)
    spend(budget, 8.12)
    budgets.look(NOW)
    alert = Alert.objects.get()
    assert alert.key == f"budget:{budget.pk}:2026-09-01T00:00Z:80"
    assert alert.title == "80 % of the budget of team research is spent"
    assert alert.text == (
        "The team research has spent $8.12 of $10.00 (81 %). The budget runs until "
        "2026-10-01 00:00 UTC."
    )
    assert (alert.team_id, alert.team_name) == (team.pk, "research")
    assert alert.link == f"/admin/billing/budget/{budget.pk}/change/"
    assert alert.until == datetime(2026, 10, 2, tzinfo=UTC)
    assert alert.facts["spent_usd"] == "8.12"
    spend(budget, 10)
    budgets.look(NOW)
    assert Alert.objects.latest("pk").text.endswith(
        "Further requests are refused until the amount is raised or the next period begins."
    )


def test_a_budget_of_a_client_is_of_its_team() -> None:
    client = make_client()
    budget = make_budget(client=client, amount_nano=10 * USD, period="total")
    spend(budget, 8, starts_at=datetime(1970, 1, 1, tzinfo=UTC))
    budgets.look(NOW)
    alert = Alert.objects.get()
    assert alert.team_id == client.team_id
    assert alert.until is None
    assert alert.text.endswith("has spent $8.00 of $10.00 (80 %).")


def test_a_raise_and_a_new_window_arm_the_lines_again() -> None:
    budget = make_budget(amount_nano=10 * USD)
    spend(budget, 10)
    budgets.look(NOW)
    Budget.objects.update(amount_nano=20 * USD)
    budgets.look(NOW)
    assert told() == [100]
    spend(budget, 16)
    budgets.look(NOW)
    assert told() == [100, 80]
    spend(budget, 20)
    budgets.look(NOW)
    assert told() == [100, 80, 100]
    later = NOW + timedelta(days=15)
    budgets.look(later)
    assert told() == [100, 80, 100]
    spend(budget, 9, starts_at=datetime(2026, 10, 1, tzinfo=UTC))
    Budget.objects.update(amount_nano=10 * USD)
    budgets.look(later)
    assert told() == [100, 80, 100, 80]
    assert len(set(Alert.objects.values_list("key", flat=True))) == 4


def test_a_small_raise_says_nothing_that_was_said() -> None:
    budget = make_budget(amount_nano=10 * USD)
    spend(budget, 10)
    budgets.look(NOW)
    Budget.objects.update(amount_nano=11 * USD)
    budgets.look(NOW)
    assert told() == [100]


def test_a_budget_that_is_off_or_of_nothing_says_nothing() -> None:
    spend(make_budget(amount_nano=10 * USD, is_active=False), 20)
    spend(make_budget(amount_nano=0), 20)
    assert budgets.look(NOW) == 0
    assert not BudgetWatch.objects.exists()


def test_a_budget_made_today_counts_what_was_spent_before() -> None:
    client = make_client()
    make_ledger_entry(client_id=client.pk, amount_nano=-9 * USD, booked_at=NOW)
    make_budget(client=client, amount_nano=10 * USD)
    budgets.look(NOW)
    assert told() == [80]


def test_the_number_of_queries_does_not_grow_with_the_budgets() -> None:
    counts = []
    for _ in range(2):
        for _ in range(4):
            spend(make_budget(amount_nano=10 * USD), 9)
        budgets.look(NOW)
        with CaptureQueriesContext(connection) as queries:
            assert budgets.look(NOW) == 0
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_lines_are_a_setting(configure: Any) -> None:
    configure(budget_lines=("50", "90"))
    budget = make_budget(amount_nano=10 * USD)
    for usd in (5, 8, 9, 12):
        spend(budget, usd)
        budgets.look(NOW)
    assert told() == [50, 90]


def test_stages_are_lines_and_say_what_requests_meet() -> None:
    budget = make_budget(amount_nano=10 * USD)
    cheap = make_alias(name="cheap")
    stages = [("observe", 10, {}), ("warn", 50, {}), ("throttle", 70, {"requests_per_minute": 6}),
              ("degrade", 80, {"alias": cheap}), ("refuse", 120, {})]  # fmt: skip
    for action, percent, more in stages:
        BudgetStage.objects.create(budget=budget, action=action, at_percent=percent, **more)
    said = {
        50: "UTC.",
        70: "Requests are slowed down to 6 a minute now.",
        80: "Requests are answered by a cheaper model now.",
        120: "refused until the amount is raised or the next period begins.",
    }
    for usd in range(1, 14):
        spend(budget, usd)
        budgets.look(NOW)
    assert told() == list(said)
    for alert in Alert.objects.all():
        assert alert.text.endswith(said[alert.facts["line_percent"]])


def test_a_budget_on_what_no_team_owns_is_told_to_the_installation() -> None:
    for scope, kind in (
        ({"tag": "project=atlas"}, "tag project=atlas"),
        ({"alias": make_alias(name="gpt")}, "model gpt"),
        ({"user": make_user(username="ada")}, "person ada"),
        ({"provider": make_provider(name="acme")}, "provider acme"),
    ):
        budget = Budget.objects.create(amount_nano=10 * USD, **scope)
        spend(budget, 9)
        budgets.look(NOW)
        alert = Alert.objects.latest("pk")
        assert (alert.team_id, alert.title) == (None, f"80 % of the budget of {kind} is spent")


def test_windows_follow_the_time_zone() -> None:
    budget = make_budget(amount_nano=10 * USD, time_zone="Europe/Berlin", period="day")
    spend(budget, 9, starts_at=datetime(2026, 9, 20, 22, tzinfo=UTC))
    budgets.look(NOW)
    alert = Alert.objects.get()
    assert alert.key == f"budget:{budget.pk}:2026-09-20T22:00Z:80"
    assert alert.facts["until"] == "2026-09-21T22:00Z"


def test_a_rolling_budget_that_goes_up_and_down_is_not_told_again_and_again() -> None:
    budget = make_budget(amount_nano=10 * USD, period="rolling", length_days=7)
    scope = budget_windows.scope_of(budget)
    start = budget_windows.instant(budget_windows.window_of(scope, int(NOW.timestamp())).start_s)
    for usd in (8.1, 7.9, 8.1, 7.2, 8.2):
        spend(budget, usd, starts_at=start)
        budgets.look(NOW)
    assert told() == [80]
    assert "It counts the last 7 days." in Alert.objects.get().text
    for usd in (6.9, 8.1):
        spend(budget, usd, starts_at=start)
        budgets.look(NOW)
    assert told() == [80, 80]


def test_a_raise_for_a_while_arms_the_lines_again() -> None:
    budget = make_budget(amount_nano=10 * USD)
    spend(budget, 9)
    budgets.look(NOW)
    BudgetRaise.objects.create(
        budget=budget, extra_nano=10 * USD, starts_at=NOW, ends_at=NOW + timedelta(hours=1),
        reason="launch", author_name="ada", state="approved",
    )  # fmt: skip
    budgets.look(NOW)
    assert told() == [80]
    spend(budget, 16)
    budgets.look(NOW)
    assert told() == [80, 80]
    assert "$16.00 of $20.00" in Alert.objects.latest("pk").text
    budgets.look(NOW + timedelta(hours=2))
    assert told() == [80, 80, 100]
