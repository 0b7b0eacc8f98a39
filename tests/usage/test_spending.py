"""The page of spending: the same amounts as the rows, each with its way to them."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts.roles import Role
from apps.usage import rollups
from apps.usage.dashboards.choice import choice_of
from apps.usage.dashboards.page import harmless
from apps.usage.models import RequestLog
from apps.usage.reports.query import Bucket
from chatvault.lib import clock
from tests.factories import make_client, make_request, make_team, make_user

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)


def test_what_is_chosen_by_default_are_the_last_thirty_days_by_team():
    choice = choice_of({}, NOW)
    assert (choice.first, choice.last) == (date(2026, 10, 25), date(2026, 11, 23))
    assert (choice.bucket, choice.by, choice.problems) == (Bucket.DAY, "team", [])


def test_a_day_of_a_zone_begins_at_its_midnight():
    choice = choice_of({"range": "today", "zone": "Asia/Tokyo"}, NOW)
    assert choice.first == date(2026, 11, 24)  # half past midnight there
    assert (choice.start, choice.end) == (
        datetime(2026, 11, 23, 15, tzinfo=UTC),
        datetime(2026, 11, 24, 15, tzinfo=UTC),
    )
    assert choice.bucket == Bucket.HOUR


def test_the_day_when_clocks_change_is_an_hour_longer():
    given = {"range": "custom", "from": "2026-10-25", "to": "2026-10-25", "zone": "Europe/Berlin"}
    choice = choice_of(given, NOW)
    assert choice.end - choice.start == timedelta(hours=25)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"range": "decade"}, "no such range"),
        ({"zone": "Mars/Olympus"}, "no time zone"),
        ({"by": "prompt"}, "cannot be divided"),
        ({"team": "1 OR 1=1"}, "is a number"),
        ({"range": "custom", "from": "yesterday", "to": "2026-01-01"}, "2026-05-01"),
        ({"range": "custom", "from": "0001-01-01", "to": "0001-01-02"}, "too far away"),
        ({"range": "custom", "from": "2026-05-02", "to": "2026-05-01"}, "exchanged"),
        ({"range": "custom", "from": "2024-01-01", "to": "2026-05-01"}, "At most 400 days"),
    ],
    ids=["range", "zone", "by", "id", "words", "year-one", "backwards", "too-long"],
)
def test_what_makes_no_sense_is_told_and_has_a_default(given: dict[str, str], problem: str):
    choice = choice_of(given, NOW)
    assert problem in choice.problems[0]
    assert choice.first <= choice.last
    assert choice.days <= 400


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\tx", "\rx"], ids=repr)
def test_no_cell_is_a_formula(text: str):
    assert harmless(text) == f"'{text}"


def _traffic() -> RequestLog:
    """Two teams; the greater one doubled what it spent."""
    now = clock.now().replace(minute=30)
    large, small = make_team(name="large"), make_team(name="=small")
    for team, at, charged in (
        (large, now, 6_000_000_007),
        (large, now - timedelta(days=31), 3_000_000_000),
        (small, now, 1_000_000_000),
    ):
        row = make_request(
            team_id=team.pk,
            client_id=make_client(team=team).pk,
            started_at=at,
            charged_nano=charged,
            cost_nano=charged // 2,
        )
        rollups.recompute(at, at + timedelta(seconds=1))
    return row


@pytest.mark.django_db
def test_the_page_says_who_moved_and_leads_to_the_rows(client: Browser):
    row = _traffic()
    client.force_login(make_user(is_superuser=True, is_staff=True))
    page = client.get(reverse("admin:usage_spending"))
    assert page.status_code == 200
    assert page.context["total"]["charged"] == "$7.00"
    assert page.context["total"]["margin"] == "$3.500"
    movers = {each["label"]: (each["change"], each["percent"]) for each in page.context["movers"]}
    assert movers == {"large": ("+$3.00", "+100 %"), "=small": ("+$1.00", "new")}
    small = next(each for each in page.context["rows"] if each["label"] == "=small")
    log = client.get(small["log_url"])
    assert [each.pk for each in log.context["cl"].result_list] == [row.pk]


@pytest.mark.django_db
def test_the_csv_is_exact_and_harmless(client: Browser):
    _traffic()
    client.force_login(make_user(is_superuser=True, is_staff=True))
    answer = client.get(reverse("admin:usage_spending"), {"format": "csv"})
    lines = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [(line["Team"], line["charged_usd"], line["margin_usd"]) for line in lines] == [
        ("large", "6.000000007", "3.000000004"),
        ("'=small", "1.000000000", "0.500000000"),
    ]


@pytest.mark.django_db
def test_people_of_a_team_see_their_own_and_no_cost(client: Browser):
    _traffic()
    team = make_team(name="own")
    make_request(team_id=team.pk, charged_nano=5, cost_nano=3)
    rollups.recompute(clock.now() - timedelta(hours=1), clock.now() + timedelta(hours=1))
    person = make_user(is_staff=True)
    team.memberships.create(user=person, role=Role.TEAM_ADMIN)
    client.force_login(person)
    page = client.get(reverse("admin:usage_spending"))
    assert [each["label"] for each in page.context["rows"]] == ["own"]
    assert not page.context["sees_cost"]
    text = page.content.decode()
    assert "Margin" not in text
    assert "large" not in text
    csv_text = client.get(reverse("admin:usage_spending"), {"format": "csv"}).content.decode()
    assert "cost" not in csv_text
    assert "large" not in csv_text


@pytest.mark.django_db
def test_the_page_takes_the_same_queries_however_many_groups(client: Browser):
    client.force_login(make_user(is_superuser=True, is_staff=True))
    _traffic()
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(
            connection,
        ) as seen:
            client.get(reverse("admin:usage_spending"), {"by": "client"})
        counts.append(len(seen))
        for _ in range(5):
            make_request(client_id=make_client().pk)
        rollups.recompute(clock.now() - timedelta(hours=1), clock.now() + timedelta(hours=1))
    assert counts[0] == counts[1]
