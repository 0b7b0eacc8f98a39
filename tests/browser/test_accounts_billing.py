from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.accounts import services
from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Budget, Price, PricingTier
from apps.configuration.models import Revision
from chatvault.lib import clock
from chatvault.lib.redact import Secret
from tests.browser.world import make_traffic
from tests.factories import (
    make_alias,
    make_deployment,
    make_price,
    make_price_book,
    make_request,
    make_tier,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SAVE = "button[name=_save], input[name=_save]"


def test_a_team_a_client_and_a_key_are_made_by_hand(admin_page: Page, shoot: Any):
    page = admin_page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    make_alias(name="gpt-4o-mini")
    page.goto("/admin/accounts/team/add/")
    page.fill("#id_name", "research")
    shoot(page, "team-add")
    page.click(SAVE)
    expect(page.locator("#result_list")).to_contain_text("research")

    _add_client(page, shoot)
    client = Client.objects.get()
    assert (client.team, client.quotas.get().ceiling) == (Team.objects.get(), 600)
    assert client.budgets.get().amount_nano == 10_000_000_000
    assert [alias.name for alias in client.aliases.all()] == ["gpt-4o-mini"]

    page.goto(f"/admin/accounts/client/{client.pk}/change/")
    shoot(page, "client")
    page.get_by_text("Issue a key").click()
    expect(page.locator("#id_client option:checked")).to_have_text("notebook")
    page.fill("#id_name", "ci")
    shoot(page, "key-add")
    page.click(SAVE)
    _copy_the_key(page, shoot)


def _add_client(page: Page, shoot: Any) -> None:
    page.goto("/admin/accounts/client/add/")
    page.fill("#id_name", "notebook")
    page.locator(".field-team .select2-selection").click()
    page.get_by_role("option", name="research").click()
    page.locator(".field-aliases .select2-selection").click()
    shoot(page, "client-models")
    page.get_by_role("option", name="gpt-4o-mini").click()
    page.keyboard.press("Escape")
    page.get_by_text("Add another Quota", exact=False).click()
    page.fill("#id_quotas-0-ceiling", "600")
    page.select_option("#id_quotas-0-unit", "requests")
    page.get_by_text("Add another Budget", exact=False).click()
    page.fill("#id_budgets-0-amount_usd", "10")
    shoot(page, "client-add")
    page.click(SAVE)
    expect(page.locator("#result_list")).to_contain_text("$10.00")
    shoot(page, "client-list")


def _copy_the_key(page: Page, shoot: Any) -> None:
    secret = page.locator("#issued-secret").inner_text().strip()
    shoot(page, "key-issued")
    key = ApiKey.objects.get()
    assert services.digest_of(Secret(secret)) == key.digest
    page.locator("[data-copy=issued-secret]").click()
    expect(page.locator("[data-copy=issued-secret]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    expect(page.locator("#issued-curl")).to_contain_text(f"Bearer {secret}")
    expect(page.locator("#issued-python")).to_contain_text("/v1")
    assert secret not in page.url

    page.get_by_text("I have copied the key").click()
    expect(page.locator("#id_name")).to_have_value("ci")
    assert secret not in page.content()
    shoot(page, "key")
    for revision in Revision.objects.all():
        assert secret not in str(revision.document)


def test_examples_follow_what_is_typed(admin_page: Page, shoot: Any):
    page = admin_page
    book = make_price_book(name="list")
    page.goto(f"/admin/billing/price/add/?book={book.pk}")
    example = page.locator("[data-cv-example=price]")
    expect(example).to_have_text("–")
    page.fill("#id_model", "my-model")
    page.fill("#id_input_usd", "0.15")
    page.fill("#id_output_usd", "0.6")
    expect(example).to_have_text("$0.0021")
    page.fill("#id_per_request_usd", "0.01")
    expect(example).to_have_text("$0.0121")
    page.fill("#id_per_request_usd", "a cent")
    expect(example).to_have_text("–")
    page.fill("#id_per_request_usd", "")
    shoot(page, "price-add")
    page.click(SAVE)
    expect(page.locator("#result_list .field-example")).to_have_text("$0.0021")
    assert Price.objects.get().output_nano == 600_000_000

    page.goto("/admin/billing/pricingtier/add/")
    page.fill("#id_name", "standard")
    page.locator(".field-price_book .select2-selection").click()
    page.get_by_role("option", name="list").click()
    page.fill("#id_markup_percent", "12.5")
    expect(page.locator("[data-cv-example=markup]")).to_have_text("$1.125")
    shoot(page, "tier-add")
    page.click(SAVE)
    expect(page.locator("#result_list .field-example")).to_have_text("$1.125")
    assert PricingTier.objects.get().price_book == book

    page.goto("/admin/billing/quota/add/")
    page.select_option("#id_unit", "tokens")
    page.fill("#id_ceiling", "90000")
    page.fill("#id_window_s", "3600")
    expect(page.locator("[data-cv-example=quota]")).to_have_text("90,000 tokens in any 1 hour")
    shoot(page, "quota-add")
    page.goto("/admin/billing/budget/add/")
    page.fill("#id_amount_usd", "1234.5")
    example = page.locator("[data-cv-example=budget]")
    expect(example).to_have_text("$1,234.50 in each calendar month (UTC)")
    shoot(page, "budget-add")


def test_what_is_used_is_shown_where_it_is_limited(admin_page: Page, shoot: Any):
    world, newest = make_traffic()
    page = admin_page
    page.goto("/admin/accounts/client/")
    expect(page.locator("#result_list .cv-figures")).to_contain_text("left of $10.00 / month")
    shoot(page, "client-list-used")
    budget = Budget.objects.get()
    page.goto(f"/admin/billing/budget/{budget.pk}/change/")
    expect(page.locator("#id_period")).to_be_disabled()
    expect(page.locator(".cv-figures")).to_contain_text("– held")
    shoot(page, "budget")
    page.goto(f"/admin/billing/price/{world.price.pk}/change/")
    expect(page.locator("[data-cv-example=price]")).to_have_text("$0.0021")
    shoot(page, "price")
    page.goto("/admin/billing/ledgerentry/")
    shoot(page, "ledger")
    page.locator(f"a[title='{newest.request_id}']").first.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.goto(f"/admin/billing/pricebook/{world.tier.price_book_id}/change/")
    shoot(page, "price-book")
    for name in ("accounts/team", "accounts/apikey", "accounts/user", "billing/price"):
        page.goto(f"/admin/{name}/")
        shoot(page, name.replace("/", "-"))
    for name in ("billing/pricingtier", "billing/quota", "billing/budget", "billing/pricebook"):
        page.goto(f"/admin/{name}/")
        shoot(page, name.replace("/", "-"))


def test_list_prices_are_shown_before_they_are_imported(admin_page: Page, shoot: Any):
    world, _ = make_traffic(1)
    world.price.delete()
    page = admin_page
    page.goto(f"/admin/billing/pricebook/{world.tier.price_book_id}/change/")
    page.get_by_text("Import list prices").click()
    expect(page.locator(".cv-table")).to_contain_text("gpt-4o-mini")
    shoot(page, "import")
    assert not Price.objects.exists()
    page.get_by_text("Import the ticked prices").click()
    expect(page.get_by_text("1 list prices were imported")).to_be_visible()
    assert Price.objects.get().input_nano == 150_000_000


def test_examples_of_a_price_and_a_tier_follow_what_is_typed(admin_page: Page, shoot: Any):
    page, book = admin_page, make_price_book(name="list")
    page.goto("/admin/billing/price/add/")
    page.locator(".field-book .select2-selection").click()
    page.get_by_role("option", name="list").click()
    page.fill("#id_model", "gemini-2.5-pro")
    page.fill("#id_input_usd", "1.25")
    page.fill("#id_output_usd", "10")
    page.fill("#id_bands", "above 200000: input 2.50, output 15")
    bills = page.locator("[data-cv-bills]")
    expect(bills).to_contain_text("200,001 prompt tokens and 1,000 of answer")
    expect(bills).to_contain_text("$0.5150025")
    page.fill("#id_service_tiers", "batch: half")
    expect(bills).to_contain_text("Service tiers: Line 1:")
    page.fill("#id_service_tiers", "batch: 50%")
    expect(bills).to_contain_text("… served as batch")
    shoot(page, "price-conditions")
    page.click(SAVE)
    expect(page.locator("#result_list")).to_contain_text("gemini-2.5-pro")
    assert Price.objects.get().service_tiers == {"batch": {"factor_ppm": 500_000}}

    tier = make_tier(name="gold", price_book=book)
    page.goto(f"/admin/billing/pricingtier/{tier.pk}/change/")
    page.fill("#id_overrides", "gemini-2.5-pro: input 2, output 12")
    expect(page.locator("[data-cv-bills]")).to_contain_text("$0.008 charged")
    shoot(page, "tier-fixed")
    page.click(SAVE)
    expect(page.locator("#result_list")).to_contain_text("gold")
    assert tier.versions.count() == 2


def test_a_book_shows_its_models_and_a_request_its_formula(admin_page: Page, shoot: Any):
    page, now = admin_page, clock.now()
    book = make_price_book(name="list")
    make_deployment(model="homegrown")
    bands = [{"above": 5, "rates": {"input": 2_500_000_000}}]
    price = make_price(book=book, model="gpt-4o-mini", bands=bands)
    make_price(book=book, model="old", valid_to=now + timedelta(days=9), input_nano=5)
    page.goto(f"/admin/billing/pricebook/{book.pk}/change/")
    models = page.locator(".cv-table")
    expect(models).to_contain_text("It is deployed and has no price now.")
    expect(models).to_contain_text("and nothing follows.")
    shoot(page, "book")
    tier = make_tier(markup_percent=10)
    row = make_request(
        price_id=price.pk, tier_id=tier.pk, terms_id=tier.current_terms_id, input_tokens=1_000,
        cached_input_tokens=400, output_tokens=100, cost_nano=2_560_000, charged_nano=2_816_000,
    )  # fmt: skip
    page.goto(f"/admin/usage/requestlog/{row.pk}/change/")
    expect(page.locator("body")).to_contain_text("prompt above 5 tokens")
    expect(page.locator("body")).to_contain_text("Mark-up")
    shoot(page, "request-formula")
