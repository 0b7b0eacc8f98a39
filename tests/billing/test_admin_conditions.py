"""Conditions of prices in the admin: typed as lines, kept as versions, shown by examples."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.billing import price_text
from apps.billing.admin.price_form import RateFields
from apps.billing.models import Price
from tests.billing.test_admin_prices import ADD, CHANGE, RATES, errors
from tests.factories import (
    make_deployment,
    make_person,
    make_price,
    make_price_book,
    make_user,
)

pytestmark = pytest.mark.django_db

EXAMPLES = "admin:billing_price_examples"
TYPED = {
    "image_output_usd": "30",
    "per_search_usd": "0.01",
    "bands": "above 200,000: input 2.50, output $15, cached input 0.25\n",
    "service_tiers": "batch: 50%\n\nPriority: input 3\npriority above 200000: input 4.5, output 27",
    "windows": "16:30 – 0:30: 33.3333%",
    "volume_kind": "all_units",
    "volume_steps": "above 9000000: input 1, output 2\nabove 1000000: 90%",
}
KEPT = {
    "image_output_nano": 30_000_000_000,
    "per_search_nano": 10_000_000,
    "bands": [
        {
            "above": 200_000,
            "rates": {
                "input": 2_500_000_000, "output": 15_000_000_000, "cached_input": 250_000_000,
            },
        }
    ],
    "service_tiers": {
        "batch": {"factor_ppm": 500_000},
        "priority": {
            "rates": {"input": 3_000_000_000},
            "bands": [
                {"above": 200_000, "rates": {"input": 4_500_000_000, "output": 27_000_000_000}}
            ],
        },
    },
    "windows": [{"start": 990, "end": 30, "factor_ppm": 333_333}],
    "volume": {
        "kind": "all_units",
        "steps": [
            {"above": 1_000_000, "factor_ppm": 900_000},
            {"above": 9_000_000, "rates": {"input": 1_000_000_000, "output": 2_000_000_000}},
        ],
    },
}  # fmt: skip


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def add(browser: Browser, **fields: Any) -> Any:
    data = {"book": make_price_book().pk, "model": "my-model"} | RATES | fields
    return browser.post(reverse(ADD), data)


def kept(price: Price) -> dict[str, Any]:
    return {name: getattr(price, name) for name in KEPT}


def test_what_is_typed_is_kept_and_shown_again_without_making_a_version(browser):
    assert add(browser, **TYPED).status_code == 302
    price = Price.objects.get()
    assert kept(price) == KEPT
    form = browser.get(reverse(CHANGE, args=[price.pk])).context["adminform"].form
    again = {name: form[name].value() for name in TYPED}
    assert again["bands"] == "above 200000: input 2.5, output 15, cached input 0.25"
    assert again["windows"] == "16:30-00:30: 33.3333%"
    assert browser.post(reverse(CHANGE, args=[price.pk]), RATES | again).status_code == 302
    assert Price.objects.get() == price
    assert browser.post(reverse(CHANGE, args=[price.pk]), RATES | again | {"bands": ""})
    old, new = Price.objects.order_by("valid_from")
    assert (kept(old), kept(new)) == (KEPT, KEPT | {"bands": None})


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("bands", "200000: input 1", "Line 1: '200000' is not a number of tokens."),
        ("bands", "above 5: input 1\nabove x: input 1", "Line 2: 'above x' is not"),
        ("bands", "above 5 input 1", "Line 1: There is no colon"),
        ("bands", "above 5: 50%", "Line 1: A percentage is for"),
        ("bands", "above 5: input", "'input' is not a rate and an amount"),
        ("bands", "above 5: inputs 1", "There is no rate 'inputs'."),
        ("bands", "above 5: input 1, input 2", "'input' is here twice"),
        ("bands", "above 5: input 1,5", "'5' is not a rate and an amount"),
        ("bands", "above 5: input -1", "Line 1: -1: The amount is too small."),
        ("bands", "above 5: input NaN", "Line 1: nan: An amount of money is a finite number"),
        ("bands", "above 5: input Infinity", "finite"),
        ("bands", "above 5: input 1e99", "larger than ChatVault can book"),
        ("bands", "above 5: input 0.0000000001", "finer than a nano-USD"),
        ("bands", "above 0: input 1", ">= 1"),
        ("bands", "above 99999999999999: input 1", "<= 1099511627776"),
        ("bands", "above 5: input 1\nabove 5: input 2", "each limit once"),
        ("service_tiers", "batch: -50%", "Line 1: -50: '-50' is not a percentage of the price"),
        ("service_tiers", "batch: NaN%", "not a percentage of the price"),
        ("service_tiers", "batch: 50%\nbatch: 40%", "Line 2: The tier batch is here twice."),
        ("service_tiers", "my tier: 50%", "is not a service tier"),
        ("windows", "25:00-01:00: 50%", "'25:00' is not a time of day"),
        ("windows", "nightly: 50%", "is not a part of the day"),
        ("windows", "01:00-01:00: 50%", "begins and ends at the same minute"),
        ("windows", "01:00-03:00: 50%\n02:00-04:00: 50%", "overlap at 02:00 UTC"),
        ("volume_steps", "above 5: 101%", "<= 1000000"),
        ("volume_steps", "above 5: input 1", "lacks the rate of input or output"),
        ("per_search_usd", "-1", "greater than or equal to 0"),
        ("image_output_usd", "NaN", "Enter a number."),
    ],
    ids=str,
)
def test_what_is_no_condition_is_told_at_its_field(field, typed, told):
    found = RateFields(RATES | {field: typed}).errors
    assert list(found) == [field]
    assert told in " ".join(found[field])


def test_a_form_with_a_wrong_condition_saves_nothing(browser):
    answer = add(browser, **TYPED | {"windows": "nightly: 50%"})
    assert list(errors(answer)) == ["windows"]
    assert not Price.objects.exists()


def test_a_price_of_one_deployment_beside_the_models(browser):
    price = make_price(model="my-model")
    deployment = make_deployment(model="my-model", name="eu")
    assert add(browser, book=price.book.pk, deployment=deployment.pk).status_code == 302
    own = Price.objects.get(deployment=deployment)
    assert (own.valid_to, Price.objects.get(pk=price.pk).valid_to) == (None, None)
    other = make_deployment(model="another")
    answer = add(browser, deployment=other.pk)
    assert errors(answer) == {"deployment": ["It serves another, not my-model."]}


def test_an_ended_price_shows_its_conditions_as_text(browser):
    past = {
        "valid_from": datetime(2025, 1, 1, tzinfo=UTC),
        "valid_to": datetime(2025, 2, 1, tzinfo=UTC),
    }
    price = make_price(**past, **KEPT)
    page = browser.get(reverse(CHANGE, args=[price.pk])).content.decode()
    for line in (
        "priority above 200000: input 4.5, output 27",
        "16:30-00:30: 33.3333%",
        "Volume, all units:",
    ):
        assert f'<div class="cv-lines">{line}</div>' in page


def examples(browser: Browser, **fields: Any) -> dict[str, Any]:
    return browser.post(reverse(EXAMPLES), RATES | fields).json()


def test_examples_follow_what_is_typed_and_save_nothing(browser):
    told = examples(browser, **TYPED | {"windows": "12:00-13:00: 50%"})
    assert told["examples"] == [
        {"what": "10,000 prompt tokens and 1,000 of answer", "amount": "$0.0021"},
        {"what": "… and one web search", "amount": "$0.0121"},
        {"what": "200,001 prompt tokens and 1,000 of answer", "amount": "$0.5150025"},
        {"what": "… served as batch", "amount": "$0.00105"},
        {"what": "… served as priority", "amount": "$0.0306"},
        {"what": "200,001 prompt tokens, served as priority", "amount": "$0.9270045"},
        {"what": "… from 12:00 to 13:00 UTC", "amount": "$0.00105"},
    ]
    assert not Price.objects.exists()


def test_examples_of_what_is_no_price_say_why(browser):
    told = examples(browser, bands="above many: input 1")
    assert told["examples"] == []
    assert told["why"].startswith("Bands by length of the prompt: Line 1:")


def test_examples_are_for_those_who_see_prices():
    browser = Browser()
    browser.force_login(make_person())
    assert browser.post(reverse(EXAMPLES), RATES).status_code in {302, 403}
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    assert browser.get(reverse(EXAMPLES)).status_code == 405


OVERRIDES = {
    "gpt-4o": {
        "input": "2",
        "output": "8",
        "bands": [{"above": 5, "input": "3"}],
        "service_tiers": {"batch": {"percent": "50"}},
        "windows": [{"from": "16:30", "to": "00:30", "percent": "25"}],
    },
    "llama3:8b": {"input": "0", "output": "0"},
}


def test_fixed_prices_are_written_and_read_back():
    text = price_text.write_overrides(OVERRIDES)
    assert text.splitlines() == [
        "gpt-4o: input 2, output 8",
        "gpt-4o | above 5: input 3",
        "gpt-4o | batch: 50%",
        "gpt-4o | 16:30-00:30: 25%",
        "llama3:8b: input 0, output 0",
    ]
    assert price_text.read_overrides(text) == OVERRIDES


@pytest.mark.parametrize(
    ("text", "told"),
    [("m | batch: 50%", "no fixed price yet"), ("m: input 1\nm: input 2", "twice")],
    ids=["condition first", "twice"],
)
def test_fixed_prices_that_make_no_sense_are_refused(text, told):
    with pytest.raises(price_text.LineWrong, match=told):
        price_text.read_overrides(text)
