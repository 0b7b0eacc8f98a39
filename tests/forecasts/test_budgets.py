"""Forecasts of real budgets: from hourly sums and adjustments to rows, alerts, pages, the API."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from apps.alerts.models import Alert
from apps.audit.models import AuditEvent
from apps.billing.models import BudgetWindow
from apps.configuration.models import JobRun
from apps.forecasts import series, services
from apps.forecasts.models import BudgetForecast
from apps.forecasts.periods import left_of_day
from apps.forecasts.tasks import forecast_budget, forecast_budgets
from tests.factories import (
    make_budget,
    make_client,
    make_key,
    make_ledger_entry,
    make_person,
    make_rollup,
    make_team,
)
from tests.factories.forecasts import make_forecast
from tests.forecasts.series import USD

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 11, 12, tzinfo=UTC)  # a Wednesday
TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture
def budget():
    """100 USD in November, of which 10 days used 5 USD each, as did the weeks before."""
    client = make_client(team=make_team(name="research"), name="bot")
    made = make_budget(client=client, amount_nano=100 * USD)
    spend(client, 60, 5 * USD)
    window(made, 10 * 5 * USD)
    return made


def spend(client, days, nano, last=TODAY - DAY):
    for back in range(days):
        hour = datetime.combine(last - back * DAY, datetime.min.time(), UTC) + timedelta(hours=9)
        make_rollup(hour=hour, team_id=client.team_id, client_id=client.pk, charged_nano=nano)


def window(budget, nano):
    BudgetWindow.objects.create(
        budget=budget, starts_at=datetime(2026, 11, 1, tzinfo=UTC), settled_nano=nano
    )


def browser_of(user):
    caller = APIClient()
    caller.force_login(user)
    return caller


def test_a_budget_that_will_not_last(budget):
    row = services.forecast(budget, NOW)
    assert (row.made_on, row.last_on) == (TODAY, date(2026, 11, 30))
    assert (row.amount_nano, row.spent_nano) == (100 * USD, 50 * USD)
    assert row.expected_nano == pytest.approx((50 + 2.5 + 19 * 5) * USD, rel=0.03)
    assert row.low_nano <= row.expected_nano <= row.high_nano
    assert row.runs_out_on == date(2026, 11, 21)  # 50 + 2.5, and ten more days of 5
    assert row.safe_daily_nano == round(50 * USD / 19.5)
    spent = [one for one in row.points if "spent" in one]
    assert [one["spent"] for one in spent] == [(day + 1) * 5 * USD for day in range(10)]
    expected = [one for one in row.points if "expected" in one]
    assert expected[0]["on"] == TODAY.isoformat() and len(expected) == 20


def test_a_day_has_one_forecast_the_latest(budget):
    services.forecast(budget, NOW)
    services.forecast(budget, NOW + timedelta(hours=1))
    services.forecast(budget, NOW + DAY)
    assert BudgetForecast.objects.count() == 2
    assert services.newest([budget.pk], NOW + DAY)[budget.pk].made_on == TODAY + DAY
    assert services.newest([budget.pk], datetime(2026, 12, 2, tzinfo=UTC)) == {}


def test_a_breach_is_told_once_a_window(budget):
    for at in (NOW, NOW + timedelta(hours=2), NOW + DAY):
        services.forecast(budget, at)
    (alert,) = Alert.objects.filter(topic="budget.forecast")
    assert "2026-11-21" in alert.title
    assert alert.team_id == budget.client.team_id
    assert alert.facts["runs_out_on"] == "2026-11-21"


def test_one_that_lasts_and_one_that_is_spent_tell_nothing(budget):
    budget.amount_nano = 1_000 * USD
    budget.save()
    assert services.forecast(budget, NOW).runs_out_on is None
    budget.amount_nano = 40 * USD
    budget.save()
    assert services.forecast(budget, NOW).runs_out_on == TODAY
    assert not Alert.objects.filter(topic="budget.forecast").exists()


def test_a_new_budget_without_use_expects_nothing():
    row = services.forecast(make_budget(), NOW)
    assert (row.expected_nano, row.method, row.runs_out_on) == (0, "none", None)


def test_a_total_budget_has_no_end_and_still_a_day():
    client = make_client()
    made = make_budget(client=client, period="total", amount_nano=500 * USD)
    spend(client, 40, 5 * USD)
    BudgetWindow.objects.create(
        budget=made, starts_at=datetime(1970, 1, 1, tzinfo=UTC), settled_nano=200 * USD
    )
    row = services.forecast(made, NOW)
    assert row.window_ends_at is None
    assert row.runs_out_on == TODAY + 60 * DAY


def test_days_are_those_of_the_zone_and_adjustments_count(budget):
    client = budget.client
    hour = datetime(2026, 10, 24, 23, tzinfo=UTC)  # in Berlin the 25th, which has 25 hours
    make_rollup(hour=hour, team_id=client.team_id, client_id=client.pk, charged_nano=7)
    make_ledger_entry(
        kind="adjustment",
        client_id=client.pk,
        team_id=client.team_id,
        amount_nano=2,
        booked_at=hour,
    )
    make_ledger_entry(
        kind="adjustment", client_id=client.pk + 1, team_id=client.team_id, amount_nano=9,
        booked_at=hour,
    )  # fmt: skip
    day = date(2026, 10, 25)
    found = series.daily(budget, day, day, ZoneInfo("Europe/Berlin"))
    assert found == {day: 5 * USD + 7 - 2}


def test_a_day_may_be_shorter_or_longer():
    berlin = ZoneInfo("Europe/Berlin")
    assert left_of_day(datetime(2026, 10, 24, 22, tzinfo=UTC), berlin) == 1.0
    assert left_of_day(datetime(2026, 10, 25, 11, tzinfo=UTC), berlin) == pytest.approx(12 / 25)
    assert left_of_day(datetime(2026, 3, 29, 11, tzinfo=UTC), berlin) == pytest.approx(11 / 23)


def test_the_nightly_job_looks_at_all_and_forgets_the_old(budget):
    make_forecast(made_at=NOW - timedelta(days=900), made_on=TODAY - 900 * DAY)
    make_budget(is_active=False)
    forecast_budgets.apply()
    run = JobRun.objects.get(name="forecast-budgets")
    assert (run.state, run.done, run.total) == ("done", 2, 2)
    assert not BudgetForecast.objects.filter(made_on=TODAY - 900 * DAY).exists()


def test_one_is_made_on_demand(budget):
    forecast_budget.apply(kwargs={"budget_id": budget.pk})
    forecast_budget.apply(kwargs={"budget_id": 999_999})
    assert BudgetForecast.objects.filter(budget=budget).count() == 1
    assert set(JobRun.objects.values_list("state", flat=True)) == {"done"}


class TestAdmin:
    @pytest.fixture
    def owner(self):
        return browser_of(make_person("owner"))

    def test_the_list_of_budgets_has_the_forecast_in_one_more_query(
        self, owner, django_assert_max_num_queries
    ):
        url = reverse("admin:billing_budget_changelist")
        rows = [make_forecast() for _ in range(3)]
        make_budget()
        page = owner.get(url).content.decode()
        assert f"{rows[0].runs_out_on:%Y-%m-%d}" in page
        assert "$14.00" in page and "$11.00" in page
        one = owner.get(reverse("admin:billing_budget_change", args=[rows[0].budget_id]))
        assert f"{rows[0].runs_out_on:%Y-%m-%d}" in one.content.decode()
        assert "(&#x27;runs out" not in one.content.decode()
        for _ in range(5):
            make_forecast()
        with django_assert_max_num_queries(20):
            owner.get(url)

    def test_a_budget_that_is_spent_says_so(self, owner):
        spent = make_budget(amount_nano=0)
        page = owner.get(reverse("admin:billing_budget_changelist"), {"q": spent.scope.name})
        assert re.search(r">\s*spent\s*<", page.content.decode())

    def test_the_page_draws_and_says_the_same_in_a_table(self, owner, budget):
        row = services.forecast(budget, NOW)
        page = owner.get(reverse("admin:forecasts_budgetforecast_change", args=[row.pk]))
        text = page.content.decode()
        assert page.status_code == 200
        assert 'data-type="line"' in text and "2026-11-21" in text
        assert "50.00" in text and "Four of five cases" in text
        table = owner.get(reverse("admin:forecasts_budgetforecast_csv", args=[row.pk]))
        lines = table.content.decode().splitlines()
        assert lines[0] == "day,spent_usd,expected_usd,low_usd,high_usd,amount_usd"
        assert lines[10] == "2026-11-10,50.000000000,,,,100.000000000"
        assert len(lines) == 1 + 10 + 20

    def test_the_list_shows_the_newest_of_each(self, owner):
        row = make_forecast()
        older = make_forecast(budget=row.budget, made_on=TODAY - 300 * DAY)
        newest = make_forecast(budget=row.budget, made_on=row.made_on + DAY, spent_nano=5 * USD)
        url = reverse("admin:forecasts_budgetforecast_changelist")
        page = owner.get(url).content.decode()
        assert f"/{newest.pk}/change" in page and f"/{older.pk}/change" not in page
        assert f"/{older.pk}/change" in owner.get(f"{url}?made=all").content.decode()
        for end in ("breach", "risk", "lasts"):
            assert owner.get(f"{url}?end={end}").status_code == 200

    def test_a_worker_is_asked_by_a_button_once(self, owner):
        row = make_forecast()
        url = reverse("admin:forecasts_budgetforecast_now", args=[row.pk])
        assert owner.get(url).status_code == 405
        assert owner.post(url).status_code == 302
        owner.post(url)
        run = JobRun.objects.get(name="forecast-budget")
        assert run.arguments == {"budget_id": row.budget_id}
        assert AuditEvent.objects.filter(action="forecast.asked").count() == 2

    def test_members_see_their_teams_and_ask_for_nothing(self):
        row, other = make_forecast(), make_forecast()
        member = make_person("member", row.budget.client.team, is_staff=True)
        caller = browser_of(member)
        change = "admin:forecasts_budgetforecast_change"
        assert caller.get(reverse(change, args=[row.pk])).status_code == 200
        for name in (change, "admin:forecasts_budgetforecast_csv"):
            assert caller.get(reverse(name, args=[other.pk])).status_code == 404
        now = reverse("admin:forecasts_budgetforecast_now", args=[row.pk])
        assert caller.post(now).status_code == 403
        assert not JobRun.objects.exists()


class TestApi:
    def test_it_tells_amounts_as_decimals(self, budget):
        row = make_forecast(budget=budget)
        key = make_key(client=budget.client, scopes=["billing:read"])
        caller = APIClient()
        caller.credentials(HTTP_AUTHORIZATION=f"Bearer {key.secret.reveal()}")
        answer = caller.get(f"/api/v1/budgets/{budget.pk}/forecast")
        assert answer.status_code == 200, answer.content
        told = answer.json()
        assert told["expected_usd"] == "14.000000000"
        assert told["runs_out_on"] == row.runs_out_on.isoformat()
        assert told["points"][0]["spent_usd"] == "3.000000000"
        assert told["points"][0]["expected_usd"] is None

    def test_foreign_unknown_and_unseen_are_404(self, budget):
        other = make_forecast().budget
        caller = browser_of(make_person("member", budget.client.team))
        for number in (other.pk, 999_999, 2**70, budget.pk):
            assert caller.get(f"/api/v1/budgets/{number}/forecast").status_code == 404

    def test_only_who_may_change_the_budget_asks_a_worker(self, budget):
        url = f"/api/v1/budgets/{budget.pk}/forecast"
        assert browser_of(make_person("member", budget.client.team)).post(url).status_code == 403
        lead = browser_of(make_person("billing_admin", budget.client.team))
        assert lead.post(url).json() == {"asked": True}
        assert lead.post(url).json() == {"asked": False}
        assert JobRun.objects.get().state == "queued"
