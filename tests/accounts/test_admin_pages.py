"""Every page opens, asks the database a fixed number of times, and is closed to strangers."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from tests.factories import (
    make_alias,
    make_client,
    make_key,
    make_membership,
    make_person,
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
    can_add = page != "membership"  # they are given on the pages of teams and people
    added = browser.get(reverse(f"admin:accounts_{page}_add")).status_code
    assert added == (200 if can_add else 403)
    url = reverse(f"admin:accounts_{page}_change", args=[row.pk])
    assert browser.get(url).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_people_without_a_role_do_not_get_in(page):
    row = _fill()[page]
    browser = Browser()
    browser.force_login(make_user(is_staff=True))
    for name, args in (("changelist", []), ("add", []), ("change", [row.pk])):
        url = reverse(f"admin:accounts_{page}_{name}", args=args)
        sign_in = f"{reverse('admin:login')}?next={url}"
        assert browser.get(url).headers["location"] == sign_in
        assert browser.post(url, {}).headers["location"] == sign_in


@pytest.mark.parametrize("lookup", ["digest__startswith=a", "keys__digest__startswith=a"])
def test_digests_are_not_looked_up(browser, lookup):
    _fill()
    for page in ("apikey", "client"):
        answer = browser.get(reverse(f"admin:accounts_{page}_changelist") + f"?{lookup}")
        assert answer.status_code in (302, 400)


@pytest.mark.parametrize("role", ["auditor", "operator", "billing_admin", "admin"])
def test_only_owners_make_owners(role):
    root, other = make_person("owner"), make_user(username="eve")
    browser = Browser()
    browser.force_login(make_person(role))
    forged = {"username": "eve", "is_superuser": "on", "is_staff": "on", "is_active": "on"}
    page = reverse("admin:accounts_user_change", args=[other.pk])
    assert browser.post(page, forged).status_code == 403
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
    other.refresh_from_db()
    assert (root.is_superuser, other.is_superuser) == (True, False)
