"""The page of a price book: all models, gaps in time, distance from the public list."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.billing.book_overview import overview
from chatvault.lib import clock
from tests.factories import make_deployment, make_price, make_price_book, make_provider, make_user

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def book():
    return make_price_book(name="list")


def line_of(book, model="m"):
    return next(line for line in overview(book, clock.now()) if line.model == model)


def test_a_model_shows_what_holds_what_comes_and_what_has_ended(book):
    now = clock.now()
    make_price(book=book, model="m", valid_from=now - 9 * DAY, valid_to=now - 5 * DAY)
    current = make_price(book=book, model="m", valid_from=now - 5 * DAY, valid_to=now + DAY)
    following = make_price(book=book, model="m", valid_from=now + DAY)
    line = line_of(book)
    assert (line.current, line.following, line.ended) == (current, following, 1)
    assert (line.input, line.output, line.example) == ("$0.15", "$0.60", "$0.0021")
    assert line.warnings == []


def test_gaps_are_told_with_their_times(book):
    now = clock.now()
    make_price(book=book, model="m", valid_from=now + DAY, valid_to=now + 2 * DAY)
    make_price(book=book, model="m", valid_from=now + 3 * DAY, valid_to=now + 4 * DAY)
    at = [f"{now + days * DAY:%Y-%m-%d %H:%M} UTC" for days in range(5)]
    assert line_of(book).warnings == [
        f"There is no price until {at[1]}.",
        f"There is no price from {at[2]} until {at[3]}.",
        f"It ends on {at[4]} and nothing follows.",
    ]


def test_a_deployed_model_without_a_price_is_there(book):
    make_deployment(model="homegrown")
    line = line_of(book, "homegrown")
    assert line.warnings == ["It is deployed and has no price now."]
    assert (line.input, line.ratio) == ("–", "")


def test_the_distance_from_the_public_list_is_told(book):
    make_deployment(model="gpt-4o-mini", provider=make_provider(family="openai"))
    price = make_price(book=book, model="gpt-4o-mini", input_nano=225_000_000)
    assert line_of(book, "gpt-4o-mini").ratio == "1.5 ×"
    assert line_of(book, "gpt-4o-mini").warnings == []
    price.input_nano, price.output_nano = 1_500_000_001, 59_999_999
    price.save()
    line = line_of(book, "gpt-4o-mini")
    assert line.warnings == [
        "Its input is more than 10 times the list price of $0.15.",
        "Its output is less than a tenth of the list price of $0.60.",
    ]


def test_prices_of_a_deployment_have_a_line_of_their_own(book):
    make_price(book=book, model="m")
    deployment = make_deployment(model="m", name="eu")
    make_price(book=book, model="m", deployment=deployment, input_nano=1)
    assert [(each.deployment, each.input) for each in overview(book, clock.now())] == [
        ("", "$0.15"),
        ("eu", "$0.000000001"),
    ]


def test_the_page_asks_the_same_however_many_models(book, django_assert_max_num_queries):
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    url = reverse("admin:billing_pricebook_change", args=[book.pk])
    browser.get(url)
    for number in range(6):
        make_price(book=book, model=f"m{number}", deployment=make_deployment(model=f"m{number}"))
    with django_assert_max_num_queries(14):
        page = browser.get(url).content.decode()
    assert page.count("10k in / 1k out") == 1
    assert page.count("It is deployed and has no price now.") == 6
