"""A team lead in a real browser: the same admin, with the rows of the own team."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from playwright.sync_api import Page, expect

from apps.accounts.models import Membership, Team
from tests.browser.conftest import SessionStore
from tests.factories import (
    make_alias,
    make_client,
    make_key,
    make_person,
    make_request,
    make_team,
    make_user,
)

ADDED = ":not([disabled]):not([name*='__prefix__'])"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def team(transactional_db: None) -> Team:
    near, far = make_team(name="near"), make_team(name="faraway")
    for each in (near, far):
        client = make_client(team=each, name=f"{each.name}-app", aliases=[make_alias()])
        key = make_key(client=client, name=f"{each.name}-key").key
        make_person("member", each, username=f"{each.name}-person", email=f"{each.name}@ex.org")
        make_request(
            team_id=each.pk,
            client_id=client.pk,
            key_id=key.pk,
            client_name=client.name,
            team_name=each.name,
            key_name=key.name,
        )
    make_user(username="newcomer", email="newcomer@example.org")
    return near


@pytest.fixture
def lead_page(page: Page, live_server: Any, team: Team) -> Page:
    lead = make_person("admin", team, username="lead")
    session = SessionStore()
    session[SESSION_KEY] = str(lead.pk)
    session[BACKEND_SESSION_KEY] = django_settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = lead.get_session_auth_hash()
    session.save()
    cookie = {"name": django_settings.SESSION_COOKIE_NAME, "value": session.session_key or ""}
    page.context.add_cookies([{**cookie, "url": live_server.url}])  # type: ignore[list-item]
    return page


def shot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def test_a_lead_sees_the_own_team_and_brings_somebody_in(lead_page: Page, team: Team) -> None:
    for path in (
        "/admin/",
        "/admin/accounts/team/",
        "/admin/accounts/client/",
        "/admin/accounts/apikey/",
        "/admin/accounts/user/",
        "/admin/usage/requestlog/",
    ):
        lead_page.goto(path)
        expect(lead_page.locator("body")).to_contain_text("near" if path != "/admin/" else "today")
        assert "faraway" not in lead_page.content()
        shot(lead_page, path.strip("/").replace("/", "-"))
    lead_page.goto(f"/admin/accounts/team/{team.pk}/change/")
    shot(lead_page, "team")
    lead_page.get_by_text("Add another", exact=False).first.click()
    lead_page.locator(f"[name$='-person']{ADDED}").last.fill("newcomer@example.org")
    role = lead_page.locator(f"select[name$='-role']{ADDED}").last
    assert "owner" not in role.locator("option").all_text_contents()
    role.select_option("member")
    shot(lead_page, "team-adding")
    lead_page.get_by_role("button", name="Save", exact=True).click()
    expect(lead_page.locator("body")).to_contain_text("was changed successfully")
    assert Membership.objects.get(user__username="newcomer").role == "member"
    lead_page.goto("/admin/accounts/user/roles/")
    expect(lead_page.locator("#capabilities")).to_contain_text("keys:write")
    shot(lead_page, "roles")
    person = Membership.objects.get(user__username="newcomer").user_id
    lead_page.goto(f"/admin/accounts/user/{person}/effective/")
    expect(lead_page.locator("body")).to_contain_text("Because of the role")
    shot(lead_page, "effective")
