"""The theme's controls work without eval and inline code, and what was stored does not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from apps.accounts.models import Client
from apps.usage import refused
from apps.usage.models import RequestLog
from apps.usage.refused import Refusal, Report
from chatvault.lib import clock
from tests.browser.crawl import policy_of
from tests.browser.world import make_traffic
from tests.factories import make_client, make_provider, make_team

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

XSS = (
    "<script>window.ran=1</script>",
    '"><img src=x onerror=window.ran=1>',
    "'><svg/onload=window.ran=1>",
    "</title><script>window.ran=1</script>",
    "{{constructor.constructor('window.ran=1')()}}",
    '" x-init="window.ran=1',
    "' x-data='{a:(window.ran=1)}",
    "javascript:window.ran=1",
)


def test_the_themes_controls_work(admin_page: Page, shoot: Any) -> None:
    page = admin_page
    make_traffic(3)
    page.goto("/admin/", wait_until="load")
    before = page.locator("html").get_attribute("class")
    page.keyboard.press("Control+k")
    page.locator("input[type=search]:visible").last.press_sequentially("budg")
    expect(page.locator("#command-results-list")).to_contain_text("Budgets")
    shoot(page, "command")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+e")
    expect(page.locator("html")).not_to_have_class(before or "")
    page.reload(wait_until="load")
    expect(page.locator("html")).not_to_have_class(before or "")


def test_rows_of_a_form_come_and_go(admin_page: Page) -> None:
    page = admin_page
    page.goto(reverse("admin:providers_provider_add"), wait_until="load")
    add = page.get_by_text("Add another Credential", exact=False)
    add.click()
    add.click()
    page.fill("#id_credentials-0-name", "first")
    page.fill("#id_credentials-1-name", "second")
    expect(page.locator("#id_credentials-1-name")).to_have_value("second")
    page.locator("#id_credentials-0-name").locator(
        "xpath=ancestor::*[contains(@class,'form-group')]"
    ).locator(".delete-template").first.click()
    expect(page.locator("#id_credentials-1-name")).to_have_count(0)


def test_a_field_shows_only_where_it_counts(admin_page: Page) -> None:
    admin_page.goto(reverse("admin:accounts_client_add"), wait_until="load")
    field = admin_page.locator(".field-aliases, [class*=field-aliases]").first
    box = admin_page.locator("#id_may_use_all_aliases")
    shown = {True: field.is_visible()} if box.is_checked() else {False: field.is_visible()}
    box.evaluate("box => box.click()")
    admin_page.wait_for_timeout(100)
    shown[box.is_checked()] = field.is_visible()
    assert shown == {True: False, False: True}


def test_an_action_is_chosen_and_run(admin_page: Page) -> None:
    client = make_client(name="acted-on")
    admin_page.goto(reverse("admin:accounts_client_changelist"), wait_until="load")
    run = admin_page.locator("#changelist-actions button[name=index]")
    expect(run).to_be_hidden()
    admin_page.locator("input.action-select").first.check()
    names = admin_page.locator("select[name=action] option").evaluate_all(
        "options => options.map(option => option.value).filter(Boolean)"
    )
    admin_page.select_option("select[name=action]", names[0])
    expect(run).to_be_visible()
    run.click()
    admin_page.wait_for_load_state("load")
    assert Client.objects.filter(pk=client.pk).exists()


@pytest.mark.parametrize("corpus", [XSS])
def test_what_was_stored_never_runs(admin_page: Page, corpus: tuple[str, ...]) -> None:
    """Names, models, addresses of software and errors of providers, wherever they are shown."""
    world, newest = make_traffic(12)
    for number, text in enumerate(corpus):
        make_client(name=f"c{number}{text}"[:100], team=make_team(name=f"t{number}{text}"[:100]))
        make_provider(name=f"p{number}{text}"[:100])
    rows = list(RequestLog.objects.all()[: len(corpus)])
    for row, text in zip(rows, corpus, strict=True):
        RequestLog.objects.filter(pk=row.pk).update(
            alias=text, deployment_name=text, client_name=text, provider_name=text, error_code="x",
            team_name=text, key_name=text,
        )  # fmt: skip
    now = clock.wall_s()
    latest = tuple(Refusal(now, 0, 0, text, 404, "model_not_found", text) for text in corpus)
    refused.register(lambda: Report(since_s=now - 60, latest=latest, counts={(0, "x"): 1}))
    urls = [
        "/admin/",
        reverse("admin:usage_requestlog_changelist"),
        reverse("admin:usage_requestlog_change", args=[rows[0].pk]),
        reverse("admin:usage_requestlog_change", args=[rows[1].pk]),
        reverse("admin:usage_refusals"),
        reverse("admin:accounts_client_changelist"),
        reverse("admin:accounts_client_change", args=[Client.objects.order_by("-pk")[0].pk]),
        reverse("admin:accounts_team_changelist"),
        reverse("admin:providers_provider_changelist"),
    ]
    try:
        for url in urls:
            admin_page.goto(url, wait_until="load")
            assert admin_page.evaluate("window.ran") is None, url
    finally:
        refused.register(None)
    assert world and newest


def test_a_page_that_let_code_in_would_not_run_it(admin_page: Page, live_server: Any) -> None:
    """The second wall, as if a template forgot to escape: the code is there and does not run."""
    admin_page.goto("/admin/", wait_until="load")
    admin_page.evaluate(
        """() => {
            document.addEventListener("securitypolicyviolation", () => { window.kept = true; });
            const box = document.createElement("div");
            document.body.append(box);
            box.setAttribute("x-data", "{}");
            box.innerHTML = "<i x-init=\\"$el.ownerDocument.title = 'taken'\\"></i>"
                + "<i x-init=\\"[].constructor.constructor('window.ran=1')()\\"></i>";
        }"""
    )
    admin_page.wait_for_timeout(200)
    assert admin_page.evaluate("[window.ran ?? null, document.title]")[0] is None
    assert admin_page.title() != "taken"
    _forget_faults(admin_page)


def _forget_faults(page: Page) -> None:
    """The page complains, as it should; `Watch` shall not."""
    page.context.watch.faults.clear()  # type: ignore[attr-defined]


@pytest.fixture
def visitor(chromium: Browser, live_server: Any) -> Iterator[tuple[Page, list[str]]]:
    """Somebody who is not signed in, and what the browser says of the policy."""
    context = chromium.new_context(base_url=live_server.url)
    page, told = context.new_page(), []
    page.on("console", lambda message: told.append(message.text))
    yield page, told
    context.close()


def test_pages_of_errors_are_defended_too(
    visitor: tuple[Page, list[str]], transactional_db: None, settings: Any
) -> None:
    page, told = visitor
    statuses = {}
    for path in ("/nothing/here", "/admin/login/", "/api/v1/nothing", "/api/v1/keys/1/"):
        answer = page.goto(path)
        assert answer is not None
        statuses[path] = answer.status
        policy = policy_of(answer.all_headers())
        assert policy["default-src"] == ["'none'"]
        assert policy["frame-ancestors"] == ["'none'"]
        assert "no-store" in answer.all_headers()["cache-control"]
    assert statuses["/nothing/here"] == 404
    page.goto("/nothing/here")
    expect(page.locator("h1")).to_have_text("There is no such page")
    assert not [text for text in told if "Content Security Policy" in text]
