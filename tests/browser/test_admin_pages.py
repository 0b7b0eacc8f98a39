from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import RequestFactory
from django.urls import reverse
from playwright.sync_api import Page, expect

from apps.configuration import revisions
from apps.usage import refused
from apps.usage.models import JournalCursor
from apps.usage.refused import Refusal, Report
from chatvault.lib import clock
from tests.browser.conftest import PASSWORD
from tests.browser.world import make_traffic
from tests.factories import make_client, make_key

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_signing_in_leads_to_the_first_call(page: Page, ada: Any, live_server: Any, shoot: Any):
    page.goto("/")
    expect(page).to_have_url(f"{live_server.url}/admin/login/?next=/admin/")
    shoot(page, "login")
    page.fill("#id_username", ada.username)
    page.fill("#id_password", "wrong")
    page.click("button[type=submit]")
    expect(page.get_by_text("Please enter the correct")).to_be_visible()
    page.fill("#id_username", ada.username)
    page.fill("#id_password", PASSWORD)
    page.click("button[type=submit]")
    expect(page).to_have_url(f"{live_server.url}/admin/")
    expect(page.locator("#first-call")).to_contain_text(f"{live_server.url}/v1")
    expect(page.locator("#first-call")).to_contain_text("from openai import OpenAI")
    expect(page.locator("#chart-requests")).to_have_count(0)
    shoot(page, "home-empty")


@pytest.mark.long
@pytest.mark.parametrize("app", sorted({model._meta.app_label for model in admin.site._registry}))
def test_every_page_opens(app: str, admin_page: Page, ada: Any, shoot: Any):
    make_traffic(20)
    JournalCursor.objects.create(segment="0000-1-00000000.cvj", offset=1_048_576)
    revisions.record(source="admin", actor=ada, comment="set up")
    request = RequestFactory().get("/")
    request.user = ada
    for model, pages in admin.site._registry.items():
        if model._meta.app_label != app:
            continue
        name = f"{app}_{model._meta.model_name}"
        urls = {f"{name}-list": reverse(f"admin:{name}_changelist")}
        if pages.has_add_permission(request):
            urls[f"{name}-add"] = reverse(f"admin:{name}_add")
        if row := model._default_manager.first():
            urls[f"{name}-change"] = reverse(f"admin:{name}_change", args=[row.pk])
        for title, url in urls.items():
            answer = admin_page.goto(url, wait_until="load")
            assert answer is not None and answer.status == 200, url
            expect(admin_page.locator("#nav-sidebar-apps")).to_contain_text("Overview")
            shoot(admin_page, title)


def test_the_overview_draws_its_charts(admin_page: Page, shoot: Any):
    make_traffic(60)
    admin_page.goto("/admin/", wait_until="load")
    expect(admin_page.locator("#first-call")).to_have_count(0)
    drawn = admin_page.evaluate(
        """() => [...document.querySelectorAll("canvas.chart")].map(canvas => {
            const pixels = canvas.getContext("2d")
                .getImageData(0, 0, canvas.width, canvas.height).data;
            const chart = Chart.getChart(canvas);
            return {
                inked: pixels.some(value => value !== 0),
                labels: chart.data.labels.length,
                visible: canvas.getBoundingClientRect().height > 100,
            };
        })"""
    )
    assert drawn == [{"inked": True, "labels": 24, "visible": True}] * 4
    requests = admin_page.locator("#chart-requests")
    requests.locator("summary").click()
    expect(requests.locator("tbody tr")).to_have_count(24)
    shoot(admin_page, "home")
    admin_page.emulate_media(color_scheme="dark")
    admin_page.reload(wait_until="load")
    expect(admin_page.locator("html")).to_have_class("dark")
    shoot(admin_page, "home-dark")
    admin_page.set_viewport_size({"width": 420, "height": 900})
    admin_page.reload()
    shoot(admin_page, "home-narrow")


def test_the_log_is_filtered_searched_and_read(admin_page: Page, shoot: Any):
    world, newest = make_traffic(20)
    stranger = make_client(name="stranger")
    url = reverse("admin:usage_requestlog_changelist")
    rows = admin_page.locator("#result_list tbody tr")
    admin_page.goto(f"{url}?client={world.client.pk}&outcome=failed", wait_until="load")
    expect(rows).to_have_count(2)
    admin_page.goto(f"{url}?client={stranger.pk}")
    expect(rows).to_have_count(0)
    shoot(admin_page, "log-empty")
    admin_page.goto(url)
    expect(rows).to_have_count(20)
    admin_page.locator("#searchbar").fill(str(newest.request_id)[:30])
    admin_page.locator("#searchbar").press("Enter")
    shoot(admin_page, "log-searched")
    admin_page.wait_for_url("**q=*")
    rows.first.locator("a").first.click()
    expect(admin_page.locator("body")).to_contain_text(str(newest.request_id))
    expect(admin_page.locator("body")).to_contain_text("By price version")
    shoot(admin_page, "request")


def test_refusals_have_a_page_and_a_card(admin_page: Page, shoot: Any):
    make_traffic(20)
    key = make_key(client=make_client(name="a-notebook-with-a-long-name"), name="laptop").key
    now = clock.wall_s()
    latest = tuple(
        Refusal(now, key.client_id, key.pk, alias, status, code, message)
        for alias, status, code, message in (
            ("gpt-4o", 429, "rate_limit_exceeded", "The limit of 60 requests a minute is reached."),
            ("<b>bold</b>", 404, "model_not_found", "The model '<b>bold</b>' does not exist."),
        )
    )
    counts = {(one.client_id, one.code): 1 for one in latest} | {(0, "invalid_api_key"): 3}
    refused.register(lambda: Report(since_s=now - 60, latest=latest, counts=counts))
    try:
        admin_page.goto("/admin/", wait_until="load")
        shoot(admin_page, "home-refused")
        for card in admin_page.locator(".cv-wide").all():
            assert card.evaluate(
                "it => it.getBoundingClientRect().right"
                " <= it.parentElement.getBoundingClientRect().right - 15"
                " && it.scrollWidth <= it.clientWidth"
            )
        admin_page.locator("#refused a", has_text="5 in all").click()
        expect(admin_page.locator("#refusals tbody tr")).to_have_count(2)
        expect(admin_page.locator("#refusals")).to_contain_text("<b>bold</b>")
        expect(admin_page.locator("#main")).to_contain_text("Refusals")
        shoot(admin_page, "refusals")
        admin_page.select_option("select[name=code]", "model_not_found")
        admin_page.click("#refusals-filter button")
        expect(admin_page.locator("#refusals tbody tr")).to_have_count(1)
    finally:
        refused.register(None)
