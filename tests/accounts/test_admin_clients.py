"""Teams and clients on their pages: what a change means for their keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Budget, Quota
from apps.configuration import announce
from apps.configuration.models import Revision
from tests.factories import (
    make_alias,
    make_budget,
    make_client,
    make_key,
    make_ledger_entry,
    make_quota,
    make_rollup,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def management(**totals: int) -> dict[str, str]:
    counts = {"keys": 0, "quotas": 0, "budgets": 0, "memberships": 0} | totals
    data = {}
    for prefix, total in counts.items():
        data[f"{prefix}-TOTAL_FORMS"] = str(total)
        data[f"{prefix}-INITIAL_FORMS"] = "0"
    return data


def act(browser: Browser, model: str, name: str, *rows: Any) -> Any:
    data = {"action": name, "_selected_action": [row.pk for row in rows], "index": "0"}
    return browser.post(reverse(f"admin:accounts_{model}_changelist"), data)


def announced() -> set[str]:
    return {each.subject for each in announce.since(0)[1] if each.topic == "accounts.key"}


def forget_announcements() -> None:
    from apps.configuration.models import Announcement

    Announcement.objects.all().delete()


def test_a_client_is_made_with_models_quota_and_budget(browser):
    team, alias = make_team(), make_alias()
    answer = browser.post(
        reverse("admin:accounts_client_add"),
        {
            "name": "notebook", "team": team.pk, "aliases": [alias.pk], "is_active": "on",
            "quotas-0-unit": "requests", "quotas-0-ceiling": "600", "quotas-0-window_s": "60",
            "quotas-0-is_active": "on",
            "budgets-0-amount_usd": "10.000000001", "budgets-0-period": "day",
            "budgets-0-is_active": "on",
        } | management(quotas=1, budgets=1),
    )  # fmt: skip
    assert answer.status_code == 302
    client = Client.objects.get()
    assert list(client.aliases.all()) == [alias]
    quota, budget = Quota.objects.get(), Budget.objects.get()
    assert (quota.client, quota.ceiling, quota.window_s) == (client, 600, 60)
    assert (budget.client, budget.amount_nano, budget.period) == (client, 10_000_000_001, "day")
    document = Revision.objects.get().document["clients"][0]
    assert document["budgets"] == [{"amount_usd": "10.000000001", "period": "day"}]


def test_wrong_rows_within_a_client_are_told_at_their_fields(browser):
    data = {
        "name": "notebook", "team": make_team().pk, "is_active": "on",
        "quotas-0-unit": "requests", "quotas-0-ceiling": "0", "quotas-0-window_s": "9999999",
        "budgets-0-amount_usd": "0.0000000001", "budgets-0-period": "month",
    } | management(quotas=1, budgets=1)  # fmt: skip
    page = browser.post(reverse("admin:accounts_client_add"), data).content.decode()
    assert "Ensure this value is greater than or equal to 1." in page
    assert "At most 31 days (2678400)." in page
    assert "Ensure that there are no more than 9 decimal places." in page
    assert not Client.objects.exists()


def test_two_budgets_of_one_period_are_refused(browser):
    row = {"amount_usd": "1", "period": "month"}
    data = {f"budgets-{at}-{name}": value for at in (0, 1) for name, value in row.items()}
    data |= {"name": "notebook", "team": make_team().pk} | management(budgets=2)
    answer = browser.post(reverse("admin:accounts_client_add"), data)
    assert answer.status_code == 200
    assert "Please correct the duplicate data" in answer.content.decode()
    assert not Client.objects.exists()


def test_numbers_that_no_column_holds_are_refused(browser):
    client = make_client()
    for ceiling in ("9" * 30, "1e3", "-1", "x"):
        data = {"client": client.pk, "unit": "tokens", "ceiling": ceiling, "window_s": "60"}
        answer = browser.post(reverse("admin:billing_quota_add"), data)
        assert list(answer.context["adminform"].form.errors) == ["ceiling"]
    assert not Quota.objects.exists()


@pytest.mark.parametrize("page", ["accounts_apikey_add", "billing_quota_add", "billing_budget_add"])
def test_links_that_fill_in_rubbish_open_an_empty_form(browser, page):
    for client in ("abc", "-1", "9" * 40, "²"):
        assert browser.get(reverse(f"admin:{page}"), {"client": client}).status_code == 200


def test_a_budget_without_a_tier_is_pointed_out(browser):
    data = {
        "name": "notebook", "team": make_team().pk, "budgets-0-amount_usd": "1",
        "budgets-0-period": "month", "budgets-0-is_active": "on",
    } | management(budgets=1)  # fmt: skip
    page = browser.post(reverse("admin:accounts_client_add"), data, follow=True).content.decode()
    assert "notebook has a budget but no pricing tier" in page


def test_suspending_and_enabling_tell_the_keys(browser):
    key = make_key().key
    forget_announcements()
    act(browser, "client", "suspend", key.client)
    assert not Client.objects.get().is_active
    assert announced() == {key.digest}
    assert Revision.objects.first().comment == "Suspend: clients"
    act(browser, "client", "enable", key.client)
    assert Client.objects.get().is_active


def test_closing_a_team_tells_the_keys(browser):
    key, other = make_key().key, make_key().key
    forget_announcements()
    act(browser, "team", "close", key.client.team)
    assert announced() == {key.digest}
    act(browser, "team", "open", key.client.team)
    forget_announcements()
    data = {"name": "research"} | management()
    browser.post(reverse("admin:accounts_team_change", args=[key.client.team_id]), data)
    assert not Team.objects.get(pk=key.client.team_id).is_active
    assert announced() == {key.digest}
    assert other.digest not in announced()


def test_an_inactive_client_tells_the_keys(browser):
    key = make_key().key
    forget_announcements()
    data = {"name": "notebook", "team": key.client.team_id} | management()
    browser.post(reverse("admin:accounts_client_change", args=[key.client_id]), data)
    assert not Client.objects.get().is_active
    assert announced() == {key.digest}


def test_deleting_a_client_takes_its_keys_and_budgets_and_tells_the_keys(browser):
    key = make_key().key
    make_budget(client=key.client)
    make_quota(client=key.client)
    make_ledger_entry(client_id=key.client_id, key_id=key.pk)
    forget_announcements()
    url = reverse("admin:accounts_client_delete", args=[key.client_id])
    assert browser.post(url, {"post": "yes"}).status_code == 302
    assert not Client.objects.exists()
    assert not ApiKey.objects.exists()
    assert announced() == {key.digest}


def test_a_team_with_clients_is_not_deleted(browser):
    client = make_client()
    url = reverse("admin:accounts_team_delete", args=[client.team_id])
    assert "protected" in browser.get(url).content.decode()
    browser.post(url, {"post": "yes"})
    assert Team.objects.filter(pk=client.team_id).exists()


def test_a_client_without_models_is_pointed_out(browser):
    data = {"name": "notebook", "team": make_team().pk, "is_active": "on"} | management()
    page = browser.post(reverse("admin:accounts_client_add"), data, follow=True).content.decode()
    assert "notebook may not use any model yet" in page


def test_the_list_shows_spend_keys_and_the_tightest_budget(browser):
    client = make_client(aliases=[make_alias(name="small")])
    make_key(client=client)
    make_budget(client=client, amount_nano=10_000_000_000)
    make_budget(client=client, amount_nano=5_000_000_000, period="day")
    make_rollup(client_id=client.pk, team_id=client.team_id, charged_nano=2_500_000_000)
    make_ledger_entry(client_id=client.pk, amount_nano=-2_500_000_000)
    for name in ("client", "team"):
        page = browser.get(reverse(f"admin:accounts_{name}_changelist")).content.decode()
        assert "$2.50" in page
    page = browser.get(reverse("admin:accounts_client_changelist")).content.decode()
    assert "$2.50 left of $5.00 / day" in " ".join(re_spaced(page))


def re_spaced(page: str) -> list[str]:
    return page.replace("</span>", "").replace("</b>", "").split()
