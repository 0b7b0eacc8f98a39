"""A team's people find their rows in the admin and no trace of others'."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts import permissions
from apps.accounts.admin.limited import Limited
from apps.accounts.models import ApiKey, Client, Membership, User
from apps.billing.models import Quota
from apps.usage.models import RequestLog
from tests.factories import (
    make_alias,
    make_budget,
    make_client,
    make_key,
    make_ledger_entry,
    make_person,
    make_quota,
    make_request,
    make_team,
    make_tier,
    make_user,
)

pytestmark = pytest.mark.django_db


class Place:
    """A team with everything in it; its names begin with `word`."""

    def __init__(self, word: str) -> None:
        self.team = make_team(name=f"{word}-team")
        self.client = make_client(team=self.team, name=f"{word}-client")
        self.key = make_key(client=self.client, name=f"{word}-key").key
        self.quota = make_quota(client=self.client)
        self.budget = make_budget(client=self.client)
        self.person = make_person("member", self.team, username=f"{word}-person")
        self.request = make_request(
            team_id=self.team.pk,
            client_id=self.client.pk,
            key_id=self.key.pk,
            client_name=f"{word}-client",
            team_name=f"{word}-team",
            key_name=f"{word}-key",
        )
        self.entry = make_ledger_entry(
            team_id=self.team.pk, client_id=self.client.pk, key_id=self.key.pk
        )

    @property
    def rows(self) -> dict[str, Any]:
        return {
            "accounts_team": self.team,
            "accounts_client": self.client,
            "accounts_apikey": self.key,
            "accounts_user": self.person,
            "accounts_membership": Membership.objects.get(user=self.person),
            "billing_quota": self.quota,
            "billing_budget": self.budget,
            "billing_ledgerentry": self.entry,
            "usage_requestlog": self.request,
        }


PAGES = (
    "accounts_team", "accounts_client", "accounts_apikey", "accounts_user", "accounts_membership",
    "billing_quota", "billing_budget", "billing_ledgerentry", "usage_requestlog",
)  # fmt: skip


@pytest.fixture
def mine() -> Place:
    return Place("near")


@pytest.fixture
def other() -> Place:
    return Place("faraway")


def browser_of(user: User) -> Browser:
    browser = Browser()
    browser.force_login(user)
    return browser


@pytest.fixture
def lead(mine: Place) -> Browser:
    return browser_of(make_person("admin", mine.team, username="lead"))


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:{name}", args=args)


@pytest.mark.parametrize("name", PAGES)
def test_a_list_holds_own_rows_and_no_word_of_others(lead, mine, other, name):
    answer = lead.get(page(f"{name}_changelist"))
    assert answer.status_code == 200
    assert mine.rows[name] in answer.context["cl"].result_list
    assert other.rows[name] not in answer.context["cl"].result_list
    assert "faraway" not in answer.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_a_foreign_row_is_answered_as_one_that_never_was(lead, mine, other, name):
    foreign, absent = other.rows[name].pk, 987654321
    for what in ("change", "history", "delete"):
        answers = [lead.get(page(f"{name}_{what}", pk)) for pk in (foreign, absent)]
        posts = [lead.post(page(f"{name}_{what}", pk), {"post": "yes"}) for pk in (foreign, absent)]
        for one, same in (answers, posts):
            assert one.status_code == same.status_code in (403, 404)
            body = one.content.decode().replace(f"/{foreign}/", "/N/")
            assert body == same.content.decode().replace(f"/{absent}/", "/N/")
    assert lead.get(page(f"{name}_change", foreign)).status_code == 404
    other.rows[name].refresh_from_db()


def test_filters_and_lookups_find_nothing_foreign(lead, mine, other):
    both = make_person("viewer", mine.team, username="both")
    Membership.objects.create(user=both, team=other.team, role="viewer")
    for name, query in (
        ("accounts_user", f"teams__id__exact={other.team.pk}"),
        ("accounts_client", f"team__id__exact={other.team.pk}"),
        ("accounts_apikey", f"client__team__id__exact={other.team.pk}"),
        ("accounts_apikey", f"client__id__exact={other.client.pk}"),
        ("billing_quota", f"team__id__exact={other.team.pk}"),
        ("usage_requestlog", f"team={other.team.pk}"),
        ("usage_requestlog", f"client={other.client.pk}"),
    ):
        answer = lead.get(f"{page(f'{name}_changelist')}?{query}")
        if answer.status_code == 200:
            assert list(answer.context["cl"].result_list) == [], (name, query)
        assert "faraway" not in answer.content.decode()
    shown = lead.get(page("accounts_user_changelist")).content.decode()
    assert "both" in shown
    assert "faraway" not in shown
    for query in ("memberships__team__name__startswith=far", "teams__name=faraway-team"):
        answer = lead.get(f"{page('accounts_user_changelist')}?{query}")
        assert answer.status_code in (302, 400)


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("client", "team"),
        ("apikey", "client"),
        ("membership", "user"),
        ("membership", "team"),
    ],
)
def test_autocompletes_offer_own_rows(lead, mine, other, model, field):
    query = f"?app_label=accounts&model_name={model}&field_name={field}&term="
    answer = lead.get(page("autocomplete") + query)
    words = [each["text"] for each in json.loads(answer.content)["results"]]
    assert words
    assert all("faraway" not in word for word in words)
    outside = make_user(username="outside")
    answer = lead.get(page("autocomplete") + query + "outside")
    assert str(outside) not in answer.content.decode()


def test_a_foreign_row_is_no_choice_in_a_form(lead, mine, other):
    made = lead.post(
        page("accounts_client_add"),
        {"name": "forged", "team": other.team.pk, "is_active": "on"} | NO_INLINES,
    )
    assert made.status_code == 200
    assert not Client.objects.filter(name="forged").exists()
    lead.post(page("accounts_apikey_add"), {"client": other.client.pk, "name": "forged"})
    assert not ApiKey.objects.filter(name="forged").exists()
    quota = {"unit": "requests", "ceiling": "5", "window_s": "60", "is_active": "on"}
    for scope in ({"client": other.client.pk}, {"team": other.team.pk}, {"team": mine.team.pk}):
        lead.post(page("billing_quota_add"), quota | scope)
    assert Quota.objects.count() == 2
    lead.post(page("billing_quota_add"), quota | {"client": mine.client.pk, "window_s": "3600"})
    assert Quota.objects.get(window_s=3600).client == mine.client


NO_INLINES = {
    f"{prefix}-{count}_FORMS": "0"
    for prefix in ("keys", "quotas", "budgets", "memberships")
    for count in ("TOTAL", "INITIAL")
}


def test_actions_reach_what_may_be_changed_and_not_all_that_is_seen(mine, other):
    both = make_person("admin", mine.team)
    Membership.objects.create(user=both, team=other.team, role="viewer")
    rows = [mine.client.pk, other.client.pk]
    browser = browser_of(both)
    seen = browser.get(page("accounts_client_changelist")).context["cl"].result_list
    assert {each.pk for each in seen} == set(rows)
    browser.post(
        page("accounts_client_changelist"),
        {"action": "suspend", "_selected_action": rows, "index": "0"},
    )
    states = dict(Client.objects.values_list("pk", "is_active"))
    assert states == {mine.client.pk: False, other.client.pk: True}
    assert browser.post(page("accounts_client_change", other.client.pk), {}).status_code == 403


def test_what_a_team_lead_may_not_give_is_not_in_the_form(lead, mine):
    allowed, forbidden = make_alias(name="allowed"), make_alias(name="forbidden")
    mine.client.aliases.set([allowed])
    tier = make_tier()
    url = page("accounts_client_change", mine.client.pk)
    form = lead.get(url).context["adminform"].form
    assert {"tier", "may_use_all_aliases"}.isdisjoint(form.fields)
    assert list(form.fields["aliases"].queryset) == [allowed]
    data = {
        "name": mine.client.name, "team": mine.team.pk, "is_active": "on", "tier": tier.pk,
        "may_use_all_aliases": "on", "aliases": [allowed.pk],
    }  # fmt: skip
    assert lead.post(url, data | NO_INLINES).status_code == 302
    assert lead.post(url, data | NO_INLINES | {"aliases": [forbidden.pk]}).status_code == 200
    mine.client.refresh_from_db()
    assert (mine.client.tier, mine.client.may_use_all_aliases) == (None, False)
    assert list(mine.client.aliases.all()) == [allowed]


def members(*rows: dict[str, Any], initial: int = 0) -> dict[str, Any]:
    data = {
        f"memberships-{index}-{name}": value
        for index, row in enumerate(rows)
        for name, value in row.items()
    }
    totals = {"memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": initial}
    return NO_INLINES | data | totals


def test_a_team_lead_adds_people_by_exact_name_up_to_the_own_role(lead, mine):
    make_user(username="new", email="new@example.com")
    url = page("accounts_team_change", mine.team.pk)
    base = {"description": "ours"}
    team = str(mine.team.pk)
    for row in (
        {"person": "ne", "role": "member", "team": team},
        {"person": "new", "role": "owner", "team": team},
        {"person": "new", "role": "billing_admin", "team": team},
        {"person": "near-person", "role": "viewer", "team": team},
    ):
        answer = lead.post(url, base | members(row))
        assert answer.status_code == 200, row
        assert answer.context["errors"], row
    assert Membership.objects.filter(team=mine.team).count() == 2
    answer = lead.post(
        url, base | members({"person": "new@example.com", "role": "admin", "team": team})
    )
    assert answer.status_code == 302, answer.context["errors"]
    assert Membership.objects.get(user__username="new").role == "admin"


def test_a_team_lead_does_not_touch_who_is_above(mine):
    owner = Membership.objects.get(user=make_person("owner", mine.team))
    lead = browser_of(make_person("admin", mine.team))
    url = page("accounts_team_change", mine.team.pk)
    there = Membership.objects.filter(team=mine.team).order_by("user__username")
    ids = list(there.values_list("pk", "role"))
    rows: list[dict[str, Any]] = [
        {"id": pk, "team": mine.team.pk, "role": role} for pk, role in ids
    ]
    position = [pk for pk, _ in ids].index(owner.pk)
    for forged in ({"role": "viewer"}, {"DELETE": "on"}):
        sent = [row | (forged if at == position else {}) for at, row in enumerate(rows)]
        lead.post(url, {"description": "x"} | members(*sent, initial=len(sent)))
        owner.refresh_from_db()
        assert owner.role == "owner"


def test_a_team_lead_does_not_rename_or_close_the_team(lead, mine):
    url = page("accounts_team_change", mine.team.pk)
    lead.post(url, {"name": "taken", "description": "new"} | NO_INLINES)
    lead.post(
        page("accounts_team_changelist"),
        {"action": "close", "_selected_action": [mine.team.pk], "index": "0"},
    )
    mine.team.refresh_from_db()
    assert (mine.team.name, mine.team.is_active) == ("near-team", True)
    assert mine.team.description == "new"
    assert lead.get(page("accounts_team_add")).status_code == 403
    assert lead.post(page("accounts_team_delete", mine.team.pk)).status_code == 403


def test_the_home_page_has_figures_of_own_teams(lead, mine, other):
    answer = lead.get(page("index"))
    assert answer.status_code == 200
    assert "faraway" not in answer.content.decode()
    assert answer.context["journal"] is None
    assert answer.context["overview"].has_traffic
    RequestLog.objects.filter(pk=mine.request.pk).delete()
    assert not lead.get(page("index")).context["overview"].has_traffic


def test_pages_of_the_installation_are_closed(lead):
    for name in (
        "providers_provider", "providers_alias", "configuration_revision", "billing_pricebook",
        "usage_journalcursor", "configuration_jobrun",
    ):  # fmt: skip
        assert lead.get(page(f"{name}_changelist")).status_code == 403
    assert "/providers/" not in lead.get(page("index")).content.decode()


def test_every_page_of_rows_of_teams_is_a_limited_one():
    registered = permissions.registered()
    for model, shown in admin.site._registry.items():
        rows = registered.get(model._meta.label_lower)
        assert rows is not None, f"nobody said who sees {model._meta.label_lower}"
        if rows.is_of_teams:
            assert isinstance(shown, Limited), f"{shown} shows everybody's rows"


def test_a_person_sees_what_somebody_may_do_and_why(lead, mine, other):
    Membership.objects.create(user=mine.person, team=other.team, role="owner")
    shown = lead.get(page("accounts_user_show_effective", mine.person.pk))
    assert [place.name for place in shown.context["places"]] == ["near-team"]
    assert "faraway" not in shown.content.decode()
    assert lead.get(page("accounts_user_show_effective", other.person.pk)).status_code == 404
    table = lead.get(page("accounts_user_show_roles"))
    assert "billing:write" in table.content.decode()
