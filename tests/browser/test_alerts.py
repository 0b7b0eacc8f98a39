"""Channels of alerts in a real browser."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.alerts import budgets, delivery
from apps.alerts.models import Delivery
from apps.billing.limits.windows import period_bounds
from apps.billing.models import BudgetWindow
from chatvault.lib import clock
from tests.factories import make_budget, make_team
from tests.factories.alerts import SIGNING, make_channel
from tests.fakes.receiver import Receiver

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    section = settings.CHATVAULT.alerts
    given = {name: getattr(section, name) for name in type(section).model_fields}
    given |= {"private_hosts": ("127.0.0.1",)}
    settings.CHATVAULT = dataclasses.replace(settings.CHATVAULT, alerts=type(section)(**given))
    with Receiver().running() as running:
        yield running


def test_a_channel_is_made_and_tried_and_told_of_a_budget(
    admin_page: Page, receiver: Receiver, shoot: Any
) -> None:
    page = admin_page
    page.goto("/admin/alerts/channel/add/")
    expect(page.locator("#id_recipients")).to_be_visible()
    expect(page.locator("#id_secret_url")).not_to_be_visible()
    page.fill("#id_name", "costs")
    page.select_option("#id_kind", "webhook")
    expect(page.locator("#id_recipients")).not_to_be_visible()
    page.fill("#id_secret_url", receiver.url)
    page.fill("#id_signing_secret", SIGNING)
    page.get_by_label("Budget reached a line").check()
    shoot(page, "channel-add")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("#test-channel")).to_be_visible()
    page.get_by_role("button", name="Send a test alert").click()
    expect(page.get_by_text("The test alert was taken in")).to_be_visible()
    expect(page.locator("#deliveries tbody tr")).to_have_count(1)
    shoot(page, "channel-tested")
    receiver.status = 500
    page.get_by_role("button", name="Send a test alert").click()
    expect(page.get_by_text("The receiver answered with status 500.").first).to_be_visible()
    receiver.status = 200

    make_channel(name="mail to ops", recipients="ops@example.org, lead@example.org")
    team = make_team(name="Research")
    budget = make_budget(team=team, amount_nano=10_000_000_000)
    start_s, _ = period_bounds("month", int(clock.wall_s()))
    BudgetWindow.objects.create(
        budget=budget, starts_at=datetime.fromtimestamp(start_s, UTC), settled_nano=8_120_000_000
    )
    assert budgets.look(clock.now()) == 1
    by_mail = Delivery.objects.get(channel__kind="email")
    assert delivery.attempt(by_mail.pk) is not None  # webhooks need a thread without a browser
    page.goto("/admin/alerts/alert/")
    row = page.locator("#result_list tbody tr").first
    expect(row).to_contain_text("80 % of the budget of team Research is spent")
    expect(row).to_contain_text("at 1 of 2")
    shoot(page, "alerts")
    row.get_by_role("link").first.click()
    expect(page.get_by_text("has spent $8.12 of $10.00").first).to_be_visible()
    shoot(page, "alert")
    page.goto("/admin/alerts/delivery/")
    expect(page.locator("#result_list")).to_contain_text("mail to ops")
    shoot(page, "deliveries")
    page.goto("/admin/alerts/channel/")
    expect(page.locator("#result_list")).to_contain_text("ops@example.org, lead@example.org")
    shoot(page, "channels")
