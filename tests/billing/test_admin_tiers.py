"""Pricing tiers in the admin: fixed prices, minimum, volume, versions, examples."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.billing.admin.tiers import TierForm
from apps.billing.models import PricingTier
from tests.factories import make_price, make_price_book, make_tier, make_user

pytestmark = pytest.mark.django_db

ADD = "admin:billing_pricingtier_add"
CHANGE = "admin:billing_pricingtier_change"
EXAMPLES = "admin:billing_pricingtier_examples"
NO_VERSIONS = {f"versions-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
TYPED = {
    "name": "gold",
    "markup_percent": "-10",
    "minimum_usd": "0.001",
    "overrides": "my-model: input 2, output 8\nmy-model | batch: 50%",
    "volume_kind": "graduated",
    "volume_steps": "above 1,000,000: 90%",
}


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def save(browser: Browser, page: str, *args: Any, **fields: Any) -> Any:
    return browser.post(reverse(page, args=args), TYPED | NO_VERSIONS | fields)


def test_a_tier_is_typed_kept_and_shown_again(browser):
    book = make_price_book()
    assert save(browser, ADD, price_book=book.pk).status_code == 302
    tier = PricingTier.objects.get()
    assert (tier.markup_percent, tier.minimum_nano) == (Decimal(-10), 1_000_000)
    assert tier.overrides == {
        "my-model": {
            "rates": {"input": 2_000_000_000, "output": 8_000_000_000},
            "service_tiers": {"batch": {"factor_ppm": 500_000}},
        }
    }
    assert tier.volume == {
        "kind": "graduated", "steps": [{"above": 1_000_000, "factor_ppm": 900_000}],
    }  # fmt: skip
    page = browser.get(reverse(CHANGE, args=[tier.pk]))
    form = page.context["adminform"].form
    again = {name: form[name].value() for name in TYPED}
    assert save(browser, CHANGE, tier.pk, price_book=book.pk, **again).status_code == 302
    assert tier.versions.count() == 1
    assert save(browser, CHANGE, tier.pk, price_book=book.pk, minimum_usd="").status_code == 302
    assert list(tier.versions.values_list("minimum_nano", flat=True)) == [0, 1_000_000]
    shown = browser.get(reverse(CHANGE, args=[tier.pk])).content.decode()
    assert "fixed: my-model; volume" in shown


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("minimum_usd", "-1", "greater than or equal to 0"),
        ("minimum_usd", "NaN", "Enter a number."),
        ("markup_percent", "-100.1", "greater than or equal to -100"),
        ("markup_percent", "Infinity", "Enter a number."),
        ("overrides", "my-model: input 2", "at least the rates of input and output"),
        ("overrides", "my-model: input 2, output -8", "The amount is too small."),
        ("overrides", "my-model | batch: 50%", "no fixed price yet"),
        ("volume_steps", "above 10: 50%\nabove 10: 40%", "each volume once"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_told_at_its_field(field, typed, told):
    book = make_price_book()
    found = TierForm(TYPED | {"price_book": book.pk, field: typed}).errors
    assert list(found) == [field]
    assert told in " ".join(found[field])


def test_examples_show_what_is_charged_beside_what_it_costs(browser):
    price = make_price(model="my-model")
    make_price(model="other", book=price.book)
    fields = TYPED | {"price_book": price.book.pk, "minimum_usd": "0.0004"}
    told = browser.post(reverse(EXAMPLES), fields).json()["examples"]
    assert [tuple(each.values()) for each in told] == [
        ("1,000 prompt tokens and 500 of answer by my-model cost $0.00045", "$0.006 charged"),
        ("1,000 prompt tokens and 500 of answer by other cost $0.00045", "$0.000405 charged"),
    ]
    assert not PricingTier.objects.exists()


def test_examples_say_why_there_is_none(browser):
    empty = TYPED | {"price_book": make_price_book().pk}
    assert browser.post(reverse(EXAMPLES), empty).json() == {
        "examples": [], "why": "The book has no price that holds now.",
    }  # fmt: skip
    told = browser.post(reverse(EXAMPLES), empty | {"markup_percent": "much"}).json()
    assert told["why"] == "Mark-up: Enter a number."


def test_the_list_asks_the_same_however_many_tiers(browser, django_assert_max_num_queries):
    url = reverse("admin:billing_pricingtier_changelist")
    make_tier()
    browser.get(url)
    with django_assert_max_num_queries(14):
        browser.get(url)
    for _ in range(3):
        make_tier(overrides={"m": {"rates": {"input": 1, "output": 1}}})
    with django_assert_max_num_queries(14):
        assert "fixed prices" in browser.get(url).content.decode().lower()
