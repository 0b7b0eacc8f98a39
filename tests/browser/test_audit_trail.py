"""The audit trail in a real browser: the list with its banner, a search, one event."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from apps.audit import checkpoints, trail
from apps.audit.acting import Actor, acting
from chatvault.lib import correlation
from tests.factories import make_client, make_key, make_team

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def make_events() -> None:
    team = make_team(name="research")
    client = make_client(team=team, name="notebook")
    key = make_key(client=client, name="ci").key
    grace = Actor("person", "grace", 2, "203.0.113.9")
    with acting(grace), correlation.within("0193e6f2-71aa-7bd0-9a55-0f6f2b1c9d11"):
        trail.record(
            "client.changed", target=client, team_id=team.pk,
            before={"description": "", "tier": "standard", "is_active": True},
            after={"description": "Notebooks of the lab", "tier": "internal", "is_active": False},
        )  # fmt: skip
        trail.record("configuration.changed", before={"clients[notebook].tier": "standard"},
                     after={"clients[notebook].tier": "internal"})  # fmt: skip
    machine = Actor("key", "ci (key 3, client 2)", None, "198.51.100.4")
    trail.record("api.read", actor=machine, team_id=team.pk, after={"route": "api/v1/keys"})
    trail.record("key.revoked", target=key, team_id=team.pk, actor=grace)
    trail.record("sign_in.failed", actor=Actor("anonymous", "not signed in", None, "192.0.2.66"),
                 after={"tried": "root", "with": "password"})  # fmt: skip
    checkpoints.check_all()
    checkpoints.check_recent()


def test_the_trail_is_read_searched_and_opened(admin_page: Page, shoot: Any) -> None:
    make_events()
    page = admin_page
    page.goto(reverse("admin:audit_auditevent_changelist"))
    expect(page.locator("#audit-integrity")).to_contain_text("in order")
    expect(page.locator("#result_list")).to_contain_text("sign_in.failed")
    shoot(page, "audit-list")
    page.goto(f"{reverse('admin:audit_auditevent_changelist')}?q=notebook")
    expect(page.locator("#result_list")).to_contain_text("client.changed")
    expect(page.locator("#result_list")).not_to_contain_text("sign_in.failed")
    row = page.locator("#result_list tbody tr", has_text="client.changed")
    row.locator("th a, td a").first.click()
    expect(page.locator("#audit-differences")).to_contain_text("Notebooks of the lab")
    expect(page.locator("#content")).to_contain_text("configuration.changed")
    shoot(page, "audit-event")
