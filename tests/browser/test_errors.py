"""The errors in a real browser: the list with its bars, one error, and what the overview says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from apps.usage.error_review import CREDENTIAL_REFUSED
from apps.usage.models import ErrorGroup, ErrorHour
from chatvault.lib import clock
from tests.browser.world import make_traffic

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def make_errors() -> None:
    world, newest = make_traffic(20)
    now = clock.now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    whose = {"deployment_id": world.deployment.pk, "deployment_name": world.deployment.name,
             "client_id": world.client.pk, "client_name": world.client.name}  # fmt: skip
    for number, fields in enumerate(
        (
            {"kind": "attempt", "code": CREDENTIAL_REFUSED, **whose, "last_status": 401,
             "last_detail": "status 401. The provider refused ChatVault's credential."},
            {"kind": "request", "code": "upstream_timeout", **whose, "last_status": 504,
             "last_request_id": newest.request_id, "state": "acknowledged",
             "last_detail": "The provider did not answer in time."},
            {"kind": "refusal", "code": "rate_limit_exceeded", "client_id": world.client.pk,
             "client_name": world.client.name, "last_status": 429, "reopened": 2,
             "last_detail": "A rate limit is reached: 600 requests per 60 s."},
            {"kind": "fault", "code": "ZeroDivisionError", "place": "apps.gateway.http.answer",
             "last_detail": "division by zero (line 110)", "state": "resolved"},
        ),
        start=1,
    ):  # fmt: skip
        counts = [(number * step * 7) % 23 for step in range(1, 20)]
        ErrorGroup.objects.create(
            pk=number, count=sum(counts), first_seen=now - timedelta(days=2), last_seen=now,
            state_at=now, state_by="ada", **fields,
        )  # fmt: skip
        for step, count in enumerate(counts):
            ErrorHour.objects.create(
                group_id=number, hour=hour - timedelta(hours=step), count=count
            )


def test_errors_are_read_and_acknowledged(admin_page: Page, shoot: Any) -> None:
    make_errors()
    page = admin_page
    page.goto(reverse("admin:index"))
    expect(page.locator("#credential-troubles")).to_contain_text("has refused its credential")
    shoot(page, "errors-overview")
    page.locator("#credential-troubles a").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.goto(reverse("admin:usage_errorgroup_changelist"))
    expect(page.locator("#result_list tbody tr")).to_have_count(4)
    assert page.locator("#result_list .cv-bars rect").count() > 40
    shoot(page, "errors-list")
    page.get_by_role("link", name="upstream_timeout").first.click()
    shoot(page, "errors-one")
    expect(page.locator("#error-states button")).to_have_count(2)
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator("#content")).to_contain_text("Resolved")
    assert ErrorGroup.objects.get(pk=2).state == ErrorGroup.State.RESOLVED
