"""Refused requests in the admin: a page and a card, from memory."""

from __future__ import annotations

import dataclasses
import re

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.usage import refused
from apps.usage.error_groups import Errors, save
from apps.usage.models import RefusalSample
from apps.usage.names import Names
from apps.usage.records import RefusedRow
from apps.usage.refused import Refusal, Report
from chatvault.lib import clock
from tests.factories import make_client, make_key, make_user

pytestmark = pytest.mark.django_db

PAGE = reverse("admin:usage_refusals")
HOME = reverse("admin:index")
SINCE_S = 1_795_449_600.0  # 2026-11-23 16:00:00 UTC


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


@pytest.fixture
def refuse():
    """Say what the gateway of this process refused; nobody knows after the test."""

    def refuse(*latest: Refusal, **counts: int) -> None:
        sums: dict[tuple[int, str], int] = {(0, code): count for code, count in counts.items()}
        for one in latest:
            sums[one.client_id, one.code] = sums.get((one.client_id, one.code), 0) + 1
        refused.register(lambda: Report(since_s=SINCE_S, latest=latest, counts=sums))

    yield refuse
    refused.register(None)


def refusal(key, **fields) -> Refusal:
    told = {"alias": "gpt", "status": 429, "code": "rate_limit_exceeded", "message": "Too many."}
    return Refusal(at_s=SINCE_S + 65, client_id=key.client_id, key_id=key.pk, **(told | fields))


def test_the_page_lists_them_with_names_and_times(browser, refuse):
    key = make_key(client=make_client(name="notebook"), name="laptop").key
    refuse(refusal(key), refusal(key, code="budget_exhausted", status=402), invalid_api_key=3)
    answer = browser.get(PAGE)
    assert [
        (row.at, row.client, row.key, row.status, row.code) for row in answer.context["rows"]
    ] == [
        ("2026-11-23 16:01:05 UTC", "notebook", "laptop", 429, "rate_limit_exceeded"),
        ("2026-11-23 16:01:05 UTC", "notebook", "laptop", 402, "budget_exhausted"),
    ]
    assert answer.context["sums"][0] == ("(no known key)", 0, "invalid_api_key", "3")
    assert "since the gateway started at 2026-11-23 16:00:00 UTC" in answer.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("code=budget_exhausted", 1),
        ("client={}", 2),
        ("client={}&code=x", 0),
        ("client=0", 0),
    ],
)
def test_they_are_filtered_by_client_and_code(browser, refuse, query, found):
    mine, other = make_key().key, make_key().key
    refuse(refusal(mine), refusal(mine, code="budget_exhausted"), refusal(other))
    answer = browser.get(f"{PAGE}?{query.format(mine.client_id)}")
    assert len(answer.context["rows"]) == found


def test_what_a_caller_wrote_is_text(browser, refuse):
    refuse(refusal(make_key().key, alias="<script>alert(1)</script>", message="<img src=x>"))
    html = browser.get(PAGE).content.decode()
    assert "<script>alert(1)" not in html
    assert "<img src=x>" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_rows_that_are_gone_have_numbers_for_names(browser, refuse):
    refuse(Refusal(SINCE_S, 77, 88, "m", 403, "key_disabled", "No."))
    row = browser.get(PAGE).context["rows"][0]
    assert (row.client, row.key) == ("client 77", "key 88")


def test_many_cost_as_few_queries_as_one(browser, refuse):
    refuse(refusal(make_key().key))
    browser.get(PAGE)
    with CaptureQueriesContext(connection) as few:
        browser.get(PAGE)
    refuse(*(refusal(make_key().key) for _ in range(30)))
    with CaptureQueriesContext(connection) as many:
        assert len(browser.get(PAGE).context["rows"]) == 30
    assert len(many) == len(few) <= 5


def test_refusals_of_gateways_elsewhere_are_what_they_told(browser):
    """Where several processes answer, none of them knows all."""
    key = make_key(client=make_client(name="notebook"), name="laptop").key
    now_ms = int(clock.wall_s() * 1000)
    errors = Errors()
    errors.add_refusal(RefusedRow(key.client_id, key.pk, "gpt", "key_disabled", 403, 7, now_ms))
    errors.add_refusal(RefusedRow(0, 0, "", "invalid_api_key", 401, 1_000, now_ms))
    save(errors, Names())
    RefusalSample.objects.create(
        at=clock.now(), client_id=key.client_id, key_id=key.pk, status=403, code="key_disabled",
        message="No.", count=7,
    )  # fmt: skip
    answer = browser.get(PAGE)
    (row,) = answer.context["rows"]
    assert (row.client, row.key, row.code, row.times) == ("notebook", "laptop", "key_disabled", 7)
    assert [(name, code, count) for name, _, code, count in answer.context["sums"]] == [
        ("(no known key)", "invalid_api_key", "1,000"),
        ("notebook", "key_disabled", "7"),
    ]
    assert "by all gateway processes" in answer.content.decode()
    html = browser.get(HOME).content.decode()
    assert "Refused in the last 24 hours" in html
    assert "1,007 in all" in html


def test_the_memory_of_one_process_of_many_is_not_believed(browser, refuse, settings):
    refuse(refusal(make_key().key))
    gateway = settings.CHATVAULT.gateway.model_copy(update={"processes": 4})
    sections = dataclasses.replace(settings.CHATVAULT, gateway=gateway)
    settings.CHATVAULT = sections
    answer = browser.get(PAGE)
    assert answer.context["is_stored"]
    assert answer.context["rows"] == []


def test_the_overview_tells_how_many_by_code(browser, refuse):
    key = make_key().key
    refuse(refusal(key), refusal(key), invalid_api_key=1_000)
    html = browser.get(HOME).content.decode()
    assert "1,002 in all" in html
    assert re.search(rf'href="{PAGE}\?code=rate_limit_exceeded">2 rate_limit_exceeded</a>', html)
    refuse()
    assert (
        "None since the gateway started at 2026-11-23 16:00:00 UTC"
        in browser.get(HOME).content.decode()
    )


def test_the_menu_marks_the_page_that_is_open(browser, refuse):
    refuse()
    items = browser.get(PAGE).context["sidebar_navigation"]
    traffic = next(group for group in items if group.get("title") == "Traffic")
    assert [(one["title"], one["active"]) for one in traffic["items"]][:2] == [
        ("Requests", False),
        ("Refusals", True),
    ]


def test_only_who_may_see_requests_sees_refusals(refuse):
    refuse()
    browser = Browser()
    browser.force_login(make_user(is_staff=True))
    assert browser.get(PAGE).status_code == 302
