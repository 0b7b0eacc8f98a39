from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.providers import services
from apps.providers.models import Alias, Credential
from tests.fakes.upstream import FakeUpstream

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SECRET = "sk-typed-into-the-browser"


def test_a_provider_is_set_up_and_tested_by_hand(
    admin_page: Page, allowed_upstream: FakeUpstream, shoot: Any
):
    page = admin_page
    _add_provider(page, allowed_upstream, shoot)
    credential = Credential.objects.get()
    assert services.open_credential(credential).reveal() == SECRET
    assert SECRET not in page.content()

    page.goto(f"/admin/providers/credential/{credential.pk}/change/")
    page.click("#test-connection button")
    expect(page.get_by_text("It answered in")).to_be_visible()
    shoot(page, "credential-tested")

    _add_deployment(page, credential)
    page.click("#test-connection button")
    expect(page.get_by_text("gpt-4o-mini answered in")).to_be_visible()
    shoot(page, "deployment-tested")
    assert [seen.method for seen in allowed_upstream.seen] == ["GET", "POST"]
    assert all(seen.saw_secret(SECRET) for seen in allowed_upstream.seen)

    _add_alias(page, shoot)
    target = Alias.objects.get(name="gpt-4o-mini").targets.get()
    assert target.deployment.name == "gpt-4o-mini@fake"
    expect(page.locator("#result_list")).to_contain_text("gpt-4o-mini@fake")


def _add_provider(page: Page, upstream: FakeUpstream, shoot: Any) -> None:
    page.goto("/admin/providers/provider/add/")
    page.fill("#id_name", "fake")
    page.select_option("#id_family", "openai")
    page.fill("#id_base_url", upstream.openai_url)
    page.get_by_text("Add another Credential", exact=False).click()
    page.fill("#id_credentials-0-name", "main")
    page.fill("#id_credentials-0-new_secret", SECRET)
    shoot(page, "provider-filled")
    page.click("button[name=_continue], input[name=_continue]")
    expect(page.get_by_text("was added successfully")).to_be_visible()
    shoot(page, "provider-saved")


def _add_deployment(page: Page, credential: Credential) -> None:
    page.goto("/admin/providers/deployment/add/")
    page.fill("#id_name", "gpt-4o-mini@fake")
    _choose(page, "id_provider", "fake")
    page.select_option("#id_credential", str(credential.pk))
    page.fill("#id_model", "gpt-4o-mini")
    page.click("button[name=_continue], input[name=_continue]")
    expect(page.get_by_text("was added successfully")).to_be_visible()


def _add_alias(page: Page, shoot: Any) -> None:
    page.goto("/admin/providers/alias/add/")
    page.fill("#id_name", "gpt-4o-mini")
    _choose(page, "id_targets-0-deployment", "gpt-4o-mini@fake")
    shoot(page, "alias-filled")
    page.click("button[name=_save], input[name=_save]")
    expect(page.get_by_text("was added successfully")).to_be_visible()
    shoot(page, "alias-list")


def _choose(page: Page, select_id: str, text: str) -> None:
    """Search for a row in one of the theme's select boxes and take it."""
    page.locator(f"#{select_id} + .select2").click()
    page.locator(".select2-search__field").last.fill(text)
    page.locator(".select2-results__option", has_text=text).first.click()
