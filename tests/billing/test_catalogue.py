"""What the catalogue says differently: it is noted, and only people take it over."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.billing import catalogue
from apps.billing.models import CatalogueChange, Price
from apps.billing.tasks import compare_catalogue
from apps.configuration.models import JobRun, Revision
from apps.providers import catalog
from apps.providers.catalog import CatalogModel
from chatvault.lib import clock
from tests.factories import (
    make_deployment,
    make_person,
    make_price,
    make_price_book,
    make_provider,
    make_user,
)

pytestmark = pytest.mark.django_db

LIST = reverse("admin:billing_cataloguechange_changelist")


@pytest.fixture(autouse=True)
def listed(monkeypatch) -> dict[str, CatalogModel]:
    """The catalogue: what a test puts in."""
    models = {
        "gpt-4o-mini": CatalogModel(
            "gpt-4o-mini", "chat", 16_384, Decimal("0.15"), Decimal("0.6"), Decimal("0.075")
        )
    }
    monkeypatch.setattr(catalog, "find_model", lambda provider, name: models.get(name))
    return models


@pytest.fixture
def book():
    make_deployment(model="gpt-4o-mini")
    return make_price_book(name="list")


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def states() -> list[tuple[str, str]]:
    return list(CatalogueChange.objects.order_by("pk").values_list("kind", "state"))


def current(book) -> tuple[int, int]:
    price = book.prices.valid_at(clock.now()).get()
    return price.input_nano, price.output_nano


def test_a_difference_is_noted_once_and_changes_no_price(book):
    make_price(book=book, model="gpt-4o-mini", input_nano=200_000_000, output_nano=600_000_000)
    compare_catalogue()
    compare_catalogue()
    row = CatalogueChange.objects.get()
    assert (row.kind, row.state, row.book) == ("price", "open", book)
    assert (row.ours["input_nano"], row.listed["input_nano"]) == (200_000_000, 150_000_000)
    assert current(book) == (200_000_000, 600_000_000)
    assert [run.state for run in JobRun.objects.all()] == ["done", "done"]


def test_a_model_without_a_price_is_noted(book):
    compare_catalogue()
    assert states() == [("new-price", "open")]
    assert not Price.objects.exists()


def test_what_no_longer_differs_is_gone(book, listed):
    compare_catalogue()
    listed["gpt-4o-mini"] = CatalogModel(
        "gpt-4o-mini", "chat", 16_384, Decimal("0.10"), Decimal("0.6")
    )
    compare_catalogue()
    assert states() == [("new-price", "gone"), ("new-price", "open")]
    listed.clear()
    compare_catalogue()
    assert states() == [("new-price", "gone"), ("new-price", "gone")]


def test_what_was_dismissed_is_not_told_again_until_it_changes(book, listed):
    compare_catalogue()
    assert catalogue.dismiss(rows=CatalogueChange.objects.all(), now=clock.now()) == 1
    compare_catalogue()
    assert states() == [("new-price", "dismissed")]
    listed["gpt-4o-mini"] = CatalogModel(
        "gpt-4o-mini", "chat", 16_384, Decimal("0.10"), Decimal("0.6")
    )
    compare_catalogue()
    assert states() == [("new-price", "dismissed"), ("new-price", "open")]


def test_a_longest_answer_is_compared_where_one_is_set(book):
    provider = make_provider()
    wrong = make_deployment(provider=provider, model="gpt-4o-mini", max_output_tokens=4_096)
    make_deployment(provider=provider, model="gpt-4o-mini", max_output_tokens=16_384)
    compare_catalogue()
    row = CatalogueChange.objects.get(kind="output-limit")
    assert (row.deployment, row.ours, row.listed) == (
        wrong,
        {"max_output_tokens": 4_096},
        {"max_output_tokens": 16_384},
    )


def test_taking_over_is_a_change_of_its_author(book, browser):
    limited = make_deployment(model="gpt-4o-mini", max_output_tokens=4_096)
    make_price(book=book, model="gpt-4o-mini", input_nano=200_000_000, output_nano=600_000_000)
    compare_catalogue()
    keys = list(CatalogueChange.objects.values_list("pk", flat=True))
    browser.post(LIST, {"action": "take_over", "_selected_action": keys})
    assert {state for _, state in states()} == {"taken"}
    assert current(book) == (150_000_000, 600_000_000)
    limited.refresh_from_db()
    assert limited.max_output_tokens == 16_384
    assert Revision.objects.get().author.is_superuser
    compare_catalogue()
    assert {state for _, state in states()} == {"taken"}


def test_what_changed_meanwhile_is_not_taken_over(book, listed):
    compare_catalogue()
    listed["gpt-4o-mini"] = CatalogModel("gpt-4o-mini", "chat", 16_384, Decimal("9"), Decimal("9"))
    rows = CatalogueChange.objects.all()
    assert catalogue.take_over(rows=rows, now=clock.now()) == 0
    assert states() == [("new-price", "gone")]
    assert not Price.objects.exists()


def test_the_page_shows_ours_and_theirs_at_a_fixed_number_of_queries(book, browser, listed):
    make_price(book=book, model="gpt-4o-mini", input_nano=200_000_000, output_nano=600_000_000)
    compare_catalogue()
    html = browser.get(LIST).content.decode()
    assert "input: $0.20 → $0.15" in html
    assert "cached input: – → $0.075" in html
    with CaptureQueriesContext(connection) as few:
        browser.get(LIST)
    for number in range(9):
        make_deployment(model=f"m{number}")
        listed[f"m{number}"] = CatalogModel(f"m{number}", "chat", 10, Decimal(1), Decimal(2))
    compare_catalogue()
    with CaptureQueriesContext(connection) as many:
        browser.get(LIST)
    assert len(many) == len(few) <= 9


def test_who_may_not_change_prices_takes_nothing_over(book):
    compare_catalogue()
    browser = Browser()
    browser.force_login(make_person("auditor"))
    assert browser.get(LIST).status_code == 200
    key = CatalogueChange.objects.get().pk
    browser.post(LIST, {"action": "take_over", "_selected_action": [key]})
    assert states() == [("new-price", "open")]
