from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.billing.models import BudgetWindow
from apps.usage import rollups
from apps.usage.charts import charts_of
from apps.usage.journal_health import journal_health
from apps.usage.overview import overview, percentile
from chatvault.lib import clock
from tests.factories import make_budget, make_client, make_request, make_rollup, make_user

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)


def test_without_requests_nothing_is_known_rather_than_zero():
    found = overview(NOW)
    assert not found.has_traffic
    assert found.today.requests == 0
    assert found.today.latency_ms is None
    assert (found.latency_p50_ms, found.latency_p95_ms) == (None, None)
    assert len(found.hours) == 24
    assert all(chart.is_empty for chart in charts_of(found.hours))
    latency = msgspec.json.decode(charts_of(found.hours)[3].data)
    assert latency["datasets"][0]["data"] == [None] * 24


def test_today_is_what_the_rows_say():
    client = make_client(name="notebook")
    for minutes, outcome in ((1, "ok"), (2, "error"), (70, "ok"), (16 * 60, "ok")):
        make_request(
            started_at=NOW - timedelta(minutes=minutes),
            client_id=client.pk,
            outcome=outcome,
            latency_ms=100 * minutes if minutes < 60 else None,
            first_token_ms=50 if minutes == 1 else None,
            charged_nano=1_000,
            cost_nano=900,
        )
    rollups.recompute(NOW - timedelta(days=2), NOW)
    found = overview(NOW)
    today = found.today
    assert (today.requests, today.errors) == (3, 1)  # the fourth was yesterday
    assert (today.input_tokens, today.output_tokens) == (30, 15)
    assert (today.cost_nano, today.charged_nano) == (2_700, 3_000)
    assert today.first_token_ms == 50
    assert (found.latency_p50_ms, found.latency_p95_ms) == (100, 100)  # answered ones only
    assert [(each.name, each.requests, each.errors) for each in found.clients] == [
        ("notebook", 3, 1)
    ]
    assert found.hours[-1] == (HOUR, found.hours[-1][1])
    assert [totals.requests for _, totals in found.hours][-2:] == [1, 2]


def test_yesterday_counts_until_the_same_hour():
    make_rollup(hour=HOUR - timedelta(hours=24), requests=5)
    make_rollup(hour=HOUR - timedelta(hours=23), requests=7)
    assert overview(NOW).before.requests == 5


def test_clients_come_by_what_they_were_charged():
    for number in range(7):
        make_rollup(hour=HOUR, client_id=100 + number, charged_nano=number, alias=f"m{number}")
    found = overview(NOW)
    assert [each.charged_nano for each in found.clients] == [6, 5, 4, 3, 2]
    assert [each.name for each in found.models] == ["m6", "m5", "m4", "m3", "m2"]
    assert found.clients[0].name == "client 106"


def test_budgets_come_by_how_much_of_them_is_spent():
    month = NOW.replace(day=1, hour=0, minute=0)
    for used, start in ((20, month), (90, month), (99, month - timedelta(days=30))):
        budget = make_budget(amount_nano=100)
        BudgetWindow.objects.create(budget=budget, starts_at=start, settled_nano=used)
    make_budget(amount_nano=0)
    found = overview(NOW).budgets
    assert [each.use.spent_nano for each in found] == [90, 20]
    assert found[0].use.left_nano == 10


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([], None, None), ([7], 7, 7), (list(range(1, 101)), 50, 95), ([1, 2], 1, 2)],
)
def test_percentiles_are_values_that_occurred(values, p50, p95):
    assert (percentile(values, 50), percentile(values, 95)) == (p50, p95)


def test_the_home_page_costs_a_fixed_number_of_queries():
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    home = reverse("admin:index")

    def day(count: int) -> None:
        now = clock.now()
        for number in range(count):
            client = make_client()
            make_request(client_id=client.pk, alias=f"alias-{number}")
            make_rollup(client_id=client.pk, hour=now.replace(minute=0, second=0, microsecond=0))
            budget = make_budget(client=client)
            start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            BudgetWindow.objects.create(budget=budget, starts_at=start, settled_nano=number)

    day(1)
    browser.get(home)
    with CaptureQueriesContext(connection) as few:
        browser.get(home)
    day(30)
    with CaptureQueriesContext(connection) as many:
        assert browser.get(home).status_code == 200
    assert len(many) == len(few) <= 19


def test_the_first_call_is_shown_until_there_is_one():
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    page = browser.get(reverse("admin:index"), headers={"host": "localhost:8123"})
    assert "http://localhost:8123/v1" in page.content.decode()
    make_request()
    assert "first-call" not in browser.get(reverse("admin:index")).content.decode()


def test_who_has_no_role_sees_no_figures():
    make_request()
    browser = Browser()
    browser.force_login(make_user(is_staff=True))
    assert browser.get(reverse("admin:index")).status_code == 302


def test_ingest_is_well_while_it_works_and_not_when_it_is_silent(tmp_path):
    from apps.usage.follow import IngestStatus, _status_path

    def says(**fields: object) -> str:
        status = {"at_s": clock.wall_s(), "unshipped_bytes": 0, "shipped_requests": 0}
        told = IngestStatus(**status | {"failures": 0} | fields)  # type: ignore[arg-type]
        _status_path(tmp_path).write_bytes(msgspec.json.encode(told))
        return journal_health(tmp_path).problem

    assert "has not run" in journal_health(tmp_path).problem
    assert says() == ""
    assert "silent" in says(at_s=clock.wall_s() - 300)
    assert "refused 3 times" in says(failures=3)
    assert "behind" in says(unshipped_bytes=10**9)


def test_small_sums_are_told_the_same_way_everywhere():
    """$0.012 is no cent, and 94 % of it is not all of it."""
    client = make_client(name="small")
    now = clock.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    make_request(client_id=client.pk)
    make_rollup(client_id=client.pk, hour=hour, charged_nano=276_000, cost_nano=250_000)
    budget = make_budget(client=client, amount_nano=12_000_000)
    start = hour.replace(day=1, hour=0)
    BudgetWindow.objects.create(budget=budget, starts_at=start, settled_nano=11_280_000)
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    page = browser.get(reverse("admin:index"))
    bar = page.context["budgets"][0]
    assert (bar["percent"], bar["spent"], bar["left"], bar["amount"]) == (
        "94", "$0.01128", "$0.00072", "$0.012",
    )  # fmt: skip
    charged = next(card for card in page.context["cards"] if card.title == "Charged")
    assert (charged.value, charged.note) == ("$0.000276", "at a cost of $0.00025")
    assert page.context["clients"][0].charged == "$0.000276"
