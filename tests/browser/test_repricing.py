"""A repricing and the self-audit in a real browser."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.usage import self_audit
from apps.usage.models import HourlyRollup
from tests.repricing.conftest import broker, nova_is_priced, priced, prices_double, work
from tests.usage.conftest import world

__all__ = ["broker", "priced", "world"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_day_is_priced_again_and_the_books_are_verified(
    admin_page: Page, priced: Any, shoot: Any
) -> None:
    prices_double()
    nova_is_priced()
    page = admin_page
    page.goto("/admin/repricing/repricing/add/")
    page.locator("[name=reason]").fill("The price was wrong since spring")
    for name, day in (("starts_at", "2026-09-21"), ("ends_at", "2026-09-22")):
        page.locator(f"[name={name}_0]").fill(day)
        page.locator(f"[name={name}_1]").fill("00:00:00")
    shoot(page, "repricing-form")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Waits for a worker.")).to_be_visible()
    work()  # the page comes anew by itself
    expect(page.get_by_role("button", name="Approve and book")).to_be_visible(timeout=20_000)
    page.locator("summary", has_text="nova").first.click()
    shoot(page, "repricing")
    page.get_by_role("button", name="Approve and book").click()
    work()
    expect(page.get_by_role("button", name="Undo: book the opposite")).to_be_visible(timeout=20_000)
    HourlyRollup.objects.filter(client_id=21).update(requests=999)
    self_audit.run()
    page.goto("/admin/usage/ledgercheck/")
    shoot(page, "self-audits")
    page.locator("#result_list tbody a").first.click()
    page.get_by_role("button", name="Compute it again").first.click()
    expect(page.get_by_text("made from its rows")).to_be_visible()
    shoot(page, "self-audit")
