"""Quotas and rate limits in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.billing import quota_history, quota_uses
from apps.billing.models import QuotaOverride
from chatvault.lib import clock
from tests.factories import make_alias, make_client, make_provider, make_quota, make_team

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def known() -> Iterator[dict[int, int]]:
    """What quotas count, by id."""
    counts: dict[int, int] = {}
    quota_uses.register(lambda quotas: counts)
    yield counts
    quota_uses.register(None)


def test_who_is_closest_what_was_refused_and_a_ceiling_for_a_while(
    admin_page: Page, shoot: Any, known: dict[int, int]
):
    page = admin_page
    busy = make_quota(client=make_client(name="Web shop"), ceiling=600)
    model = make_quota(
        alias=make_alias(name="gpt-4o"), unit="tokens", ceiling=90_000, observes=True
    )
    full = make_quota(provider=make_provider(name="OpenAI"), ceiling=500)
    calm = make_quota(team=make_team(name="Research"), unit="concurrency", window_s=1, ceiling=40)
    known.update({busy.pk: 552, model.pk: 31_000, full.pk: 500, calm.pk: 2})
    now_ms = int(clock.wall_s() * 1000)
    for back in range(6):
        rows = [(busy.pk, 4 * back, 0), (full.pk, 9 - back, 0), (model.pk, 0, 5 + back)]
        quota_history.add(now_ms - back * 3_600_000, rows)
    now = clock.now()
    QuotaOverride.objects.create(
        quota=calm, ceiling=80, starts_at=now, ends_at=now + timedelta(hours=5), reason="launch",
        author_name="ada",
    )  # fmt: skip
    page.goto("/admin/usage/requestlog/rate-limits/")
    expect(page.locator("#limits tbody tr").first).to_contain_text("OpenAI")
    expect(page.locator("#limits tbody tr").nth(1)).to_contain_text("552 of 600 · 48 left")
    expect(page.locator("#chart-refused canvas")).to_be_visible()
    shoot(page, "rate-limits")
    page.locator("#limits-filter select[name=scope]").select_option("alias")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#limits tbody tr")).to_have_count(1)

    page.goto("/admin/billing/quota/")
    expect(page.locator("#result_list")).to_contain_text("552 of 600")
    shoot(page, "quotas")
    page.goto("/admin/billing/quota/add/")
    shoot(page, "quota-add")
    page.goto(f"/admin/billing/quota/{calm.pk}/change/")
    expect(page.locator("body")).to_contain_text("holds now")
    shoot(page, "quota")
