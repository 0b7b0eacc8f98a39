from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags

from apps.usage.figures import milliseconds, short_count
from apps.usage.models import JournalCursor, RequestLog
from chatvault.lib import clock
from tests.factories import (
    make_attempt,
    make_client,
    make_deployment,
    make_full_request,
    make_key,
    make_ledger_entry,
    make_person,
    make_price,
    make_provider,
    make_request,
    make_team,
    make_tier,
    make_user,
)

pytestmark = pytest.mark.django_db

LIST = reverse("admin:usage_requestlog_changelist")


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def shown(browser: Browser, query: str = "") -> list[RequestLog]:
    answer = browser.get(f"{LIST}{query}")
    assert answer.status_code == 200
    return list(answer.context["cl"].result_list)


def change_page(row: RequestLog) -> str:
    return reverse("admin:usage_requestlog_change", args=[row.pk])


def test_a_page_of_200_rows_costs_a_fixed_number_of_queries(browser):
    make_request()
    browser.get(LIST)
    with CaptureQueriesContext(connection) as few:
        browser.get(LIST)
    for number in range(199):
        make_request(client_id=number, client_name=f"client-{number}", alias=f"alias-{number}")
    with CaptureQueriesContext(connection) as many:
        assert len(shown(browser)) == 50
    assert len(many) == len(few) <= 9
    assert not [each for each in many if "COUNT(" in each["sql"].upper()]


def test_the_newest_are_first_and_older_ones_on_the_next_page(browser):
    now = clock.now()
    rows = [make_request(started_at=now - timedelta(minutes=n)) for n in range(60)]
    assert shown(browser) == rows[:50]
    assert shown(browser, "?p=2") == rows[50:]
    for query in ("", "?alias=nobody-asks-for-it"):
        assert "9999999999" not in browser.get(LIST + query).content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("team=7", {"a"}),
        ("client=8", {"a"}),
        ("key=9", {"b"}),
        ("alias=beta", {"b"}),
        ("deployment=4", {"b"}),
        ("outcome=failed", {"b", "c"}),
        ("outcome=interrupted", {"c"}),
        ("status=4xx", {"b"}),
        ("status=429", {"b"}),
        ("status=5xx", {"c"}),
        ("span=1h", {"a", "b"}),
        ("span=24h", {"a", "b"}),
        ("span=7d", {"a", "b", "c"}),
        ("client=8&alias=beta", set()),
        ("team=rubbish", {"a", "b", "c"}),
    ],
)
def test_the_log_is_filtered(browser, query, found):
    make_request(key_name="a", team_id=7, client_id=8)
    make_request(
        key_name="b", key_id=9, alias="beta", deployment_id=4, outcome="error", http_status=429
    )
    make_request(
        key_name="c",
        outcome="interrupted",
        http_status=502,
        started_at=clock.now() - timedelta(days=2),
    )
    assert {row.key_name for row in shown(browser, f"?{query}")} == found


def test_key_choices_are_those_of_the_chosen_client(browser):
    client = make_client(name="mine")
    make_key(client=client, name="laptop")
    make_key(name="stranger")
    html = browser.get(f"{LIST}?client={client.pk}").content.decode()
    assert "mine / laptop" in html
    assert "stranger" not in html


def test_a_request_is_found_by_how_its_id_begins(browser):
    wanted = make_request(request_id=uuid.UUID("01234567-89ab-7def-8123-456789abcdef"))
    make_request(request_id=uuid.UUID("01234568-0000-7def-8123-456789abcdef"))
    for text in (str(wanted.request_id), wanted.request_id.hex, "01234567-89", "01234567"):
        assert shown(browser, f"?q={text}") == [wanted], text
    for text in ("456789abcdef", "%", "zz", "0" * 40):
        assert shown(browser, f"?q={text}") == [], text


def test_searching_goes_by_the_index(browser):
    make_request()
    with CaptureQueriesContext(connection) as queries:
        shown(browser, "?q=0123")
    assert not [each for each in queries if "LIKE" in each["sql"].upper()]


def test_the_page_of_a_request_tells_its_way_and_its_cost(browser):
    price = make_price(cached_input_nano=75_000_000)
    row = make_request(
        price_id=price.pk,
        input_tokens=1_000,
        cached_input_tokens=400,
        output_tokens=100,
        cost_nano=180_000,
        charged_nano=198_000,
        tier_id=make_tier(markup_percent=10).pk,
    )
    make_attempt(request_id=row.request_id, http_status=503, error_code="upstream_refused")
    make_attempt(request_id=row.request_id, number=2)
    make_ledger_entry(request_id=row.request_id, amount_nano=-198_000)
    answer = browser.get(change_page(row))
    context = answer.context
    assert [(each.name, each.tokens, each.cost) for each in context["formula"].lines] == [
        ("Prompt", "600", "$0.000090"),
        ("Read from the cache", "400", "$0.000030"),
        ("Answer", "100", "$0.000060"),
        ("Cost", "", "$0.000180"),
        ("Mark-up", "", "$0.000018"),
        ("Charged", "", "$0.000198"),
    ]
    assert [each.rate for each in context["formula"].lines][:5] == [
        "$0.15 / 1M", "$0.075 / 1M", "$0.60 / 1M", "", "+10 %",
    ]  # fmt: skip
    assert context["formula"].doubt == ""
    assert "it cost $0.00018; the client was charged $0.000198" in context["words"]
    assert [each["error"] for each in context["attempts"]] == ["upstream_refused", "–"]
    assert [each["amount"] for each in context["entries"]] == ["-$0.000198"]
    assert str(row.request_id) in answer.content.decode()


def test_the_page_of_a_request_tells_the_terms_of_its_time(browser):
    tier = make_tier(name="gold", markup_percent=10)
    admitted_by = tier.current_terms_id
    tier.markup_percent = 50
    tier.save()
    row = make_request(
        price_id=make_price().pk, tier_id=tier.pk, terms_id=admitted_by, markup_ppm=100_000,
        input_tokens=1_000, output_tokens=0, cost_nano=150_000, charged_nano=165_000,
        service_tier="flex",
    )  # fmt: skip
    context = browser.get(change_page(row)).context
    assert f"by tier gold, version {admitted_by} (+10 %)." in context["words"]
    assert ("Service tier", "flex") in [each[:2] for each in context["facts"]]
    assert context["formula"].doubt == ""


def test_the_formula_names_the_conditions_and_doubts_what_it_cannot_explain(browser):
    bands = [{"above": 500, "rates": {"input": 300_000_000}}]
    price = make_price(bands=bands)
    row = make_request(price_id=price.pk, input_tokens=1_000, output_tokens=0, cost_nano=300_000)
    formula = browser.get(change_page(row)).context["formula"]
    assert [(each.name, each.rate, each.cost) for each in formula.lines] == [
        ("Prompt", "$0.30 / 1M", "$0.0003"),
        ("Cost", "", "$0.0003"),
    ]
    assert formula.conditions == ["prompt above 500 tokens"]
    odd = make_request(price_id=price.pk, input_tokens=1_000, output_tokens=0, cost_nano=5)
    page = browser.get(change_page(odd))
    assert "Booked was a cost of $0.000000005." in page.content.decode()


def test_a_request_without_a_price_is_not_said_to_be_free(browser):
    row = make_request(price_id=None, cost_nano=0, charged_nano=0)
    assert "unpriced" in browser.get(LIST).content.decode()
    assert "It was not priced" in browser.get(change_page(row)).content.decode()


@pytest.mark.parametrize("model", ["requestlog", "journalcursor"])
def test_nobody_edits_the_books(browser, model):
    row = make_request() if model == "requestlog" else JournalCursor.objects.create(segment="s")
    assert browser.get(reverse(f"admin:usage_{model}_add")).status_code == 403
    delete = reverse(f"admin:usage_{model}_delete", args=[row.pk])
    assert browser.post(delete, {"post": "yes"}).status_code == 403
    change = reverse(f"admin:usage_{model}_change", args=[row.pk])
    browser.post(change, {"charged_nano": "0", "segment": "forged"})
    before = type(row).objects.values().get()
    assert before == type(row).objects.values().get(pk=row.pk)
    assert "forged" not in str(before)


@pytest.mark.parametrize("is_mine", [False, True])
def test_people_of_a_team_read_what_their_team_asked(is_mine):
    mine, other = make_team(), make_team()
    row = make_request(team_id=mine.pk)
    browser = Browser()
    browser.force_login(make_person("viewer", mine if is_mine else other))
    assert list(shown(browser)) == ([row] if is_mine else [])
    assert browser.get(change_page(row)).status_code == (200 if is_mine else 404)


def test_the_journal_page_tells_what_waits_and_what_is_damaged(browser, tmp_path, settings):
    JournalCursor.objects.create(segment="a", offset=10, torn_bytes=7, bad_records=2)
    answer = browser.get(reverse("admin:usage_journalcursor_changelist"))
    health: Any = answer.context["health"]
    assert (health.torn_bytes, health.bad_records) == (7, 2)
    assert health.heartbeat_age_s is None
    assert "Ingest has not run here yet" in answer.content.decode()


def test_counts_by_filter_are_never_made(browser):
    make_request()
    with CaptureQueriesContext(connection) as queries:
        shown(browser, "?_facets=True")
    assert not [each for each in queries if "COUNT(" in each["sql"].upper()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "< 1 ms"),
        (999, "999 ms"),
        (1_234, "1.23 s"),
        (59_999, "60.00 s"),
        (125_000, "2 min 5 s"),
    ],
)
def test_durations_are_said_with_their_unit(value, text):
    assert milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (9_999, "9,999"), (93_521, "93.5 k"), (1_200_000, "1.2 M")]
)
def test_counts_are_said_shortly(value, text):
    assert short_count(value) == text


def test_lists_tell_times_to_the_second_with_their_zone(browser):
    at = datetime(2026, 11, 23, 16, 19, 5, tzinfo=UTC)
    make_request(started_at=at)
    assert "2026-11-23 16:19:05 UTC" in browser.get(LIST).content.decode()
    cursor = JournalCursor.objects.create(segment="a-1-1.cvj")
    JournalCursor.objects.filter(pk=cursor.pk).update(updated_at=at)
    html = browser.get(reverse("admin:usage_journalcursor_changelist")).content.decode()
    assert "2026-11-23 16:19:05 UTC" in html
    assert "p.m." not in html


def test_the_menus_journal_opens_the_journal(browser):
    html = browser.get(reverse("admin:usage_journalcursor_changelist")).content.decode()
    assert "cursor" not in strip_tags(html).lower()


def test_an_empty_list_says_so_in_english(browser):
    html = browser.get(LIST).content.decode()
    assert "There are no rows yet." in html
    assert "yielded" not in html
    make_request()
    assert "No row fits the search and the filters." in browser.get(f"{LIST}?q=zz").content.decode()


def test_rows_are_found_by_tag_user_and_provider(browser):
    person = make_person("ada")
    provider = make_provider()
    make_deployment(provider=provider)
    row = make_full_request(user_id=person.pk, provider_id=provider.pk)
    make_request(tags={"env": "test"})
    for query in ("?tag=env%3Dprod", f"?user={person.username}", f"?provider={provider.pk}"):
        assert shown(browser, query) == [row], query
    for query in ("?tag=env%3Dx", "?tag=env", "?tag=%22%27%3Dx", "?user=nobody", "?provider=0"):
        assert shown(browser, query) == [], query
    text = browser.get(LIST).content.decode()
    assert "env=prod, project=atlas" in text and "flex" in text and provider.name in text


def test_a_page_shows_what_only_some_requests_have(browser):
    row = make_full_request()
    make_attempt(request_id=row.request_id, first_byte_ms=77)
    text = strip_tags(browser.get(change_page(row)).content.decode())
    for told in ("UpstreamBroken upstream_broken", "env=prod, project=atlas", "flex", "ada", "77"):
        assert told in text
    for told in ("Not in the cache", "Experiment"):
        assert told in text
    plain = strip_tags(browser.get(change_page(make_request())).content.decode())
    assert "not told" in plain and "What failed" not in plain and "Experiment" not in plain
