"""The page of spending in a real browser."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.usage import rollups
from chatvault.lib import clock
from tests.browser.world import make_traffic, named
from tests.factories import make_client, make_request, make_team

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_where_the_money_went_and_down_to_the_rows(admin_page: Page, shoot: Any):
    page = admin_page
    world, _ = make_traffic(40)
    other = make_client(team=make_team(name="Research"), name="Notebook")
    now = clock.now()
    for day in range(45):
        at = now - timedelta(days=day, hours=2)
        make_request(
            **named(world) | {"team_id": other.team_id, "client_id": other.pk},
            started_at=at,
            input_tokens=90_000,
            cached_input_tokens=40_000,
            cost_nano=30_000_000 + 700_000 * day,
            charged_nano=34_000_000 + 700_000 * day,
        )
        rollups.recompute(at, at + timedelta(seconds=1))
    page.goto("/admin/usage/requestlog/spending/")
    expect(page.locator("#chart-spend canvas")).to_be_visible()
    expect(page.locator("#movers")).to_contain_text("Research")
    shoot(page, "spending")
    page.locator("#spending-filter select[name=by]").select_option("client")
    page.locator("#spending-filter select[name=range]").select_option("7d")
    page.get_by_role("button", name="Show", exact=True).click()
    row = page.locator("#groups tbody tr", has_text="Notebook")
    expect(row).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="As CSV, exact", exact=True).click()
    assert "Notebook" in download.value.path().read_text()
    row.locator("td").nth(1).get_by_role("link").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(7)
