"""Quotas, budgets and the ledger in the admin."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import strip_tags

from apps.billing import held
from apps.billing.budget_use import BudgetUse, uses_of
from apps.billing.models import Budget, BudgetWindow, LedgerEntry, Quota
from apps.billing.words import short_usd
from chatvault.lib import clock
from tests.factories import (
    make_budget,
    make_client,
    make_key,
    make_ledger_entry,
    make_price,
    make_quota,
    make_request,
    make_team,
    make_tier,
    make_user,
)

pytestmark = pytest.mark.django_db

PAGES = ("price", "pricebook", "pricingtier", "quota", "budget", "ledgerentry", "budgetwindow")
USD = 1_000_000_000


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


@pytest.fixture
def holding():
    """Says what requests in flight hold: `holding({budget id: nano-USD})`."""
    yield lambda nano: held.register(lambda budgets: {b.id: nano[b.id] for b in budgets})
    held.register(None)


def add(browser: Browser, model: str, **data: Any) -> Any:
    return browser.post(reverse(f"admin:billing_{model}_add"), {"is_active": "on"} | data)


def told(answer: Any) -> dict[str, list[str]]:
    return dict(answer.context["adminform"].form.errors)


def text_of(browser: Browser, url: str) -> str:
    return re.sub(r"\s+", " ", strip_tags(browser.get(url).content.decode()))


def _fill() -> dict[str, Any]:
    tier = make_tier()
    client = make_client(tier=tier)
    budget = make_budget(client=client)
    entry = make_ledger_entry(client_id=client.pk, team_id=client.team_id)
    return {
        "price": make_price(book=tier.price_book),
        "pricebook": tier.price_book,
        "pricingtier": tier,
        "quota": make_quota(key=make_key(client=client).key),
        "budget": budget,
        "ledgerentry": entry,
        "budgetwindow": BudgetWindow.objects.create(budget=budget, starts_at=clock.now()),
    }


@pytest.mark.parametrize("page", PAGES)
def test_a_list_asks_as_often_for_many_rows_as_for_one(
    browser, page, django_assert_max_num_queries
):
    url = reverse(f"admin:billing_{page}_changelist")
    _fill()
    browser.get(url)
    with django_assert_max_num_queries(30) as few:
        assert browser.get(url).status_code == 200
    for _ in range(8):
        _fill()
    with django_assert_max_num_queries(len(few)):
        assert browser.get(url).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_pages_open_to_those_who_may_see_them_only(browser, page):
    row = _fill()[page]
    stranger = Browser()
    stranger.force_login(make_user(is_staff=True))
    for name, args in (("changelist", []), ("change", [row.pk])):
        url = reverse(f"admin:billing_{page}_{name}", args=args)
        assert browser.get(url).status_code == 200
        assert stranger.get(url).status_code == 302
        assert stranger.post(url, {}).status_code == 302


@pytest.mark.parametrize("page", ["ledgerentry", "budgetwindow"])
def test_nobody_writes_what_was_booked(browser, page):
    row = _fill()[page]
    before = [list(LedgerEntry.objects.values()), list(BudgetWindow.objects.values())]
    forged = {"amount_nano": "1", "settled_nano": "1", "post": "yes"}
    for name, args in (("add", []), ("change", [row.pk]), ("delete", [row.pk])):
        url = reverse(f"admin:billing_{page}_{name}", args=args)
        assert browser.post(url, forged).status_code == 403
    url = reverse(f"admin:billing_{page}_changelist")
    browser.post(url, {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert [list(LedgerEntry.objects.values()), list(BudgetWindow.objects.values())] == before


def test_the_ledger_names_the_person_where_there_was_no_key(browser):
    person = make_user(username="ada")
    make_ledger_entry(key_id=0, user_id=person.pk)
    text = text_of(browser, reverse("admin:billing_ledgerentry_changelist"))
    assert "JWT of ada" in text
    assert "deleted (id 0)" not in text


def test_the_ledger_is_filtered_and_leads_to_the_request(browser):
    client, other = make_client(name="notebook"), make_client()
    request = make_request()
    entry = make_ledger_entry(
        client_id=client.pk, team_id=client.team_id, amount_nano=-1_234,
        request_id=request.request_id,
    )  # fmt: skip
    make_ledger_entry(client_id=other.pk, team_id=other.team_id, account="margin")
    url = reverse("admin:billing_ledgerentry_changelist")
    for query in ({"client": client.pk}, {"team": client.team_id}, {"account__exact": "client"},
                  {"q": str(request.request_id)}):  # fmt: skip
        assert browser.get(url, query).context["cl"].result_list == [entry]
    page = browser.get(url, {"client": client.pk}).content.decode()
    assert "-$0.000001234" in page
    (link,) = re.findall(r'href="([^"]+request_id=[^"]+)"', page)
    assert [row.pk for row in browser.get(link).context["cl"].result_list] == [request.pk]
    for query in ({"client": "x"}, {"team": "9" * 40}):
        assert browser.get(url, query).status_code == 200


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"unit": "requests", "ceiling": 600, "window_s": 60}, "600 requests in any 60 seconds"),
        ({"unit": "tokens", "ceiling": 90_000, "window_s": 3600}, "90,000 tokens in any 1 hour"),
        ({"unit": "tokens", "ceiling": 5, "window_s": 90}, "5 tokens in any 90 seconds"),
        ({"unit": "requests", "ceiling": 5, "window_s": 604_800}, "5 requests in any 7 days"),
        ({"unit": "concurrency", "ceiling": 4, "window_s": 1}, "4 requests at the same time"),
    ],
)
def test_quotas_are_said_in_words(browser, fields, words):
    make_quota(**fields)
    assert words in text_of(browser, reverse("admin:billing_quota_changelist"))


def test_concurrency_has_no_window(browser):
    client = make_client()
    add(browser, "quota", client=client.pk, unit="concurrency", ceiling="4", window_s="60")
    assert (Quota.objects.get().window_s, Quota.objects.get().client) == (1, client)


@pytest.mark.parametrize(
    ("scopes", "field"), [((), "team"), (("team", "client"), "client"), (("client", "key"), "key")]
)
def test_a_rule_is_for_exactly_one(browser, scopes, field):
    rows = {"team": make_team(), "client": make_client(), "key": make_key().key}
    chosen = {name: rows[name].pk for name in scopes}
    quota = {"unit": "requests", "ceiling": "1", "window_s": "60"}
    for model, data in (("quota", quota), ("budget", {"amount_usd": "1", "period": "day"})):
        answer = add(browser, model, **chosen, **data)
        assert list(told(answer)) == [field]
    assert not Quota.objects.exists()
    assert not Budget.objects.exists()


def test_the_same_rule_twice_is_refused_at_its_field(browser):
    client = make_client()
    make_quota(client=client, unit="requests", window_s=60)
    make_budget(client=client, period="month")
    data = {"client": client.pk, "unit": "requests", "ceiling": "1", "window_s": "60"}
    again = ["There is one like this already: change that one instead."]
    assert told(add(browser, "quota", **data)) == {"window_s": again}
    data = {"client": client.pk, "amount_usd": "1", "period": "month"}
    assert told(add(browser, "budget", **data)) == {"period": again}
    assert (Quota.objects.count(), Budget.objects.count()) == (1, 1)


def test_period_and_scope_of_a_budget_stay(browser):
    budget = make_budget()
    other = make_client()
    forged = {"amount_usd": "2.5", "period": "day", "client": other.pk, "team": other.team_id}
    for prefix in ("stages", "alert_lines"):
        forged |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
    url = reverse("admin:billing_budget_change", args=[budget.pk])
    assert browser.post(url, forged | {"is_active": "on"}).status_code == 302
    changed = Budget.objects.get()
    assert changed.amount_nano == 2_500_000_000
    assert (changed.period, changed.client_id, changed.team_id) == ("month", budget.client_id, None)


def test_a_budget_goes_with_its_windows(browser):
    window = _fill()["budgetwindow"]
    url = reverse("admin:billing_budget_delete", args=[window.budget_id])
    assert browser.post(url, {"post": "yes"}).status_code == 302
    assert not BudgetWindow.objects.exists()


def test_spent_comes_from_the_window_or_the_ledger_and_held_is_not_guessed(holding):
    budget = make_budget(amount_nano=10 * USD)
    now = clock.now()
    make_ledger_entry(client_id=budget.client_id, amount_nano=-USD)
    make_ledger_entry(client_id=budget.client_id, amount_nano=USD, account="provider")
    make_ledger_entry(client_id=budget.client_id + 1, amount_nano=-USD)
    assert uses_of([budget], now)[budget.pk] == BudgetUse(10 * USD, USD, None)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    BudgetWindow.objects.create(budget=budget, starts_at=start, settled_nano=3 * USD)
    holding({budget.pk: 2 * USD})
    use = uses_of([budget], now)[budget.pk]
    assert use == BudgetUse(10 * USD, 3 * USD, 2 * USD)
    assert use.left_nano == 5 * USD


def test_the_bar_shows_what_is_held_only_where_it_is_known(browser, holding):
    budget = make_budget(amount_nano=10 * USD)
    make_ledger_entry(client_id=budget.client_id, amount_nano=-4 * USD)
    url = reverse("admin:billing_budget_changelist")
    assert "$4.00 spent · – held · $6.00 left of $10.00" in text_of(browser, url)
    holding({budget.pk: 0})
    assert "$4.00 spent · $0.00 held · $6.00 left" in text_of(browser, url)
    holding({budget.pk: 7 * USD})
    page = browser.get(url).content.decode()
    assert 'data-level="over"' in page
    assert "$0.00 left of $10.00" in text_of(browser, url)


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "$0.00"), (1, "$0.000000001"), (276_000, "$0.000276"), (12_345_678, "$0.01235"),
        (10_000_000, "$0.01"), (999_999_999, "$1.00"), (1_234_567_890_000, "$1,234.57"),
        (-5_000_000_000, "-$5.00"),
    ],
)  # fmt: skip
def test_amounts_are_short(nano, shown):
    assert short_usd(nano) == shown


def test_switching_many(browser):
    quotas = [make_quota(), make_quota()]
    url = reverse("admin:billing_quota_changelist")
    data = {"_selected_action": [quota.pk for quota in quotas], "index": "0"}
    browser.post(url, data | {"action": "deactivate"})
    assert not Quota.objects.filter(is_active=True).exists()
    browser.post(url, data | {"action": "activate"})
    assert Quota.objects.filter(is_active=True).count() == 2
