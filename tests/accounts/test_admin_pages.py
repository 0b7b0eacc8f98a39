"""Every page opens, asks the database a fixed number of times, and is closed to strangers."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client as Browser
from django.urls import reverse

from tests.factories import (
    make_alias,
    make_client,
    make_key,
    make_membership,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db

PAGES = ("user", "team", "membership", "client", "apikey")


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(username="ada", is_staff=True, is_superuser=True))
    return browser


def _fill() -> dict[str, Any]:
    team = make_team()
    client = make_client(team=team, aliases=[make_alias(), make_alias()])
    return {
        "user": make_user(),
        "team": team,
        "membership": make_membership(team=team),
        "client": client,
        "apikey": make_key(client=client, aliases=client.aliases.all()[:1]).key,
    }


@pytest.mark.parametrize("page", PAGES)
def test_a_list_asks_as_often_for_many_rows_as_for_one(
    browser, page, django_assert_max_num_queries
):
    url = reverse(f"admin:accounts_{page}_changelist")
    _fill()
    browser.get(url)  # what is asked once for a process
    with django_assert_max_num_queries(30) as few:
        assert browser.get(url).status_code == 200
    for _ in range(8):
        _fill()
    with django_assert_max_num_queries(len(few)):
        assert browser.get(url).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_forms_open_and_save_what_they_show(browser, page):
    row = _fill()[page]
    assert browser.get(reverse(f"admin:accounts_{page}_add")).status_code == 200
    url = reverse(f"admin:accounts_{page}_change", args=[row.pk])
    assert browser.get(url).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_people_without_permission_see_nothing(page):
    row = _fill()[page]
    browser = Browser()
    browser.force_login(make_user(is_staff=True))
    for name, args in (("changelist", []), ("add", []), ("change", [row.pk])):
        url = reverse(f"admin:accounts_{page}_{name}", args=args)
        assert browser.get(url).status_code == 403
        assert browser.post(url, {}).status_code == 403


@pytest.mark.parametrize("lookup", ["digest__startswith=a", "keys__digest__startswith=a"])
def test_digests_are_not_looked_up(browser, lookup):
    _fill()
    for page in ("apikey", "client"):
        answer = browser.get(reverse(f"admin:accounts_{page}_changelist") + f"?{lookup}")
        assert answer.status_code in (302, 400)


def test_only_superusers_make_superusers():
    clerk = make_user(is_staff=True)
    clerk.user_permissions.set(
        Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"])
    )
    root, other = make_user(is_superuser=True), make_user(username="eve")
    browser = Browser()
    browser.force_login(clerk)
    data = {"username": "eve", "is_superuser": "on", "is_staff": "on"}
    management = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    answer = browser.post(
        reverse("admin:accounts_user_change", args=[other.pk]),
        data | management | {"date_joined_0": "2026-01-01", "date_joined_1": "00:00"},
    )
    assert answer.status_code == 302
    other.refresh_from_db()
    assert (other.is_staff, other.is_superuser) == (True, False)
    url = reverse("admin:accounts_user_change", args=[root.pk])
    assert browser.post(url, {"username": "gone"}).status_code == 403
    url = reverse("admin:auth_user_password_change", args=[root.pk])
    assert browser.post(url, {"password1": "x" * 14, "password2": "x" * 14}).status_code == 403
    url = reverse("admin:accounts_user_delete", args=[root.pk])
    assert browser.post(url, {"post": "yes"}).status_code == 403
    url = reverse("admin:accounts_user_changelist")
    action = {"action": "delete_selected", "_selected_action": [root.pk], "post": "yes"}
    browser.post(url, action)
    root.refresh_from_db()
    assert root.is_superuser
