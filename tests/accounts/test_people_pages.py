"""An owner manages people in the admin; the last one stays."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts.models import InstallationRole, Membership, User
from apps.accounts.principals import of_user
from apps.accounts.roles import Capability
from apps.audit.models import AuditEvent
from tests.factories import make_person, make_team, make_user

pytestmark = pytest.mark.django_db
LIST = reverse("admin:accounts_user_changelist")


@pytest.fixture
def owner() -> User:
    return make_person("owner", username="ada")


@pytest.fixture
def browser(owner: User) -> Browser:
    browser = Browser()
    browser.force_login(owner)
    return browser


def save(browser: Browser, user: User, *ticked: str, **more: Any) -> Any:
    inlines = {
        f"{prefix}-{count}_FORMS": "0"
        for prefix in ("memberships", "installation_roles")
        for count in ("TOTAL", "INITIAL")
    }
    url = reverse("admin:accounts_user_change", args=[user.pk])
    return browser.post(
        url, inlines | {"username": user.username} | dict.fromkeys(ticked, "on") | more
    )


def actions() -> list[str]:
    told = AuditEvent.objects.filter(action__startswith="role.").order_by("id")
    return list(told.values_list("action", flat=True))


@pytest.mark.parametrize("left", [("is_active",), ("is_superuser",), ()])
def test_the_last_owner_is_told_to_stay(browser, owner, left):
    answer = save(browser, owner, *left)
    assert answer.status_code == 200
    assert "last owner" in answer.content.decode()
    owner.refresh_from_db()
    assert (owner.is_superuser, owner.is_active) == (True, True)


def test_the_last_owner_is_not_deleted(browser, owner):
    url = reverse("admin:accounts_user_delete", args=[owner.pk])
    answer = browser.post(url, {"post": "yes"}, follow=True)
    assert "last owner" in answer.content.decode()
    for action in ("disable", "delete_selected"):
        chosen = {"action": action, "_selected_action": [owner.pk], "post": "yes", "index": "0"}
        assert "last owner" in browser.post(LIST, chosen, follow=True).content.decode()
    owner.refresh_from_db()
    assert (owner.is_superuser, owner.is_active) == (True, True)


def test_an_owner_makes_another_one_who_may_take_it_back(browser, owner):
    other = make_user(username="eve")
    assert save(browser, other, "is_active", "is_superuser").status_code == 302
    other.refresh_from_db()
    assert other.is_superuser
    second = Browser()
    second.force_login(other)
    assert save(second, owner, "is_active").status_code == 302
    owner.refresh_from_db()
    assert not owner.is_superuser
    assert actions() == ["role.given", "role.taken"]
    assert browser.get(LIST).status_code == 302


def test_roles_in_the_installation_and_in_teams_are_given_on_the_page(browser):
    eve, team = make_user(username="eve"), make_team()
    given = {
        "installation_roles-TOTAL_FORMS": "1",
        "installation_roles-0-role": "auditor",
        "memberships-TOTAL_FORMS": "1",
        "memberships-0-team": team.pk,
        "memberships-0-role": "admin",
    }
    assert save(browser, eve, "is_active", **given).status_code == 302
    assert InstallationRole.objects.get().role == "auditor"
    held = of_user(eve)
    assert held.may(Capability.AUDIT_READ)
    assert held.may(Capability.KEYS_WRITE, team.pk)
    row, place = InstallationRole.objects.get(), Membership.objects.get(user=eve)
    taken = {
        "installation_roles-TOTAL_FORMS": "1",
        "installation_roles-INITIAL_FORMS": "1",
        "installation_roles-0-id": row.pk,
        "installation_roles-0-user": eve.pk,
        "installation_roles-0-role": "auditor",
        "installation_roles-0-DELETE": "on",
        "memberships-TOTAL_FORMS": "1",
        "memberships-INITIAL_FORMS": "1",
        "memberships-0-id": place.pk,
        "memberships-0-user": eve.pk,
        "memberships-0-team": team.pk,
        "memberships-0-role": "viewer",
    }
    assert save(browser, eve, "is_active", **taken).status_code == 302
    assert not InstallationRole.objects.exists()
    assert Membership.objects.get(user=eve).role == "viewer"
    assert actions() == ["role.given", "role.given", "role.taken", "role.changed"]


def test_people_are_switched_off_and_on_from_the_list(browser):
    eve = make_user(username="eve")
    for action, is_active in (("disable", False), ("enable", True)):
        browser.post(LIST, {"action": action, "_selected_action": [eve.pk], "index": "0"})
        eve.refresh_from_db()
        assert eve.is_active is is_active


def test_what_somebody_may_do_is_told_with_the_reason(browser):
    team = make_team(name="near")
    eve = make_person("billing_admin", team, username="eve")
    InstallationRole.objects.create(user=eve, role="auditor")
    page = browser.get(reverse("admin:accounts_user_show_effective", args=[eve.pk]))
    places = {place.name: place for place in page.context["places"]}
    assert list(places) == ["The whole installation", "near"]
    assert ("billing:write", "billing admin") in {
        (held.capability, held.because_of) for held in places["near"].held
    }
    assert {held.because_of for held in places["The whole installation"].held} == {"auditor"}


def test_people_and_teams_are_deleted_with_their_roles(browser):
    team = make_team()
    eve = make_person("admin", team)
    InstallationRole.objects.create(user=eve, role="auditor")
    eve_in_browser = Browser()
    eve_in_browser.force_login(eve)
    answer = browser.post(reverse("admin:accounts_team_delete", args=[team.pk]), {"post": "yes"})
    assert answer.status_code == 302
    answer = browser.post(reverse("admin:accounts_user_delete", args=[eve.pk]), {"post": "yes"})
    assert answer.status_code == 302
    assert not Membership.objects.exists()
    assert not InstallationRole.objects.exists()
    assert not User.objects.filter(pk=eve.pk).exists()
