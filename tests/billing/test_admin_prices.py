"""Prices in the admin: exact, versions in time, doubted when they look like a slip."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.billing.models import Price, PriceBook
from apps.configuration.models import Revision
from chatvault.lib import clock
from tests.factories import (
    make_deployment,
    make_person,
    make_price,
    make_price_book,
    make_provider,
    make_tier,
    make_user,
)

pytestmark = pytest.mark.django_db

LIST = "admin:billing_price_changelist"
ADD = "admin:billing_price_add"
CHANGE = "admin:billing_price_change"
IMPORT = "admin:billing_pricebook_import_list_prices"
RATES = {"input_usd": "0.15", "output_usd": "0.6"}


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def add(browser: Browser, book: PriceBook, **fields: Any) -> Any:
    data = {"book": book.pk, "model": "my-model"} | RATES | fields
    return browser.post(reverse(ADD), data)


def change(browser: Browser, price: Price, **fields: Any) -> Any:
    return browser.post(reverse(CHANGE, args=[price.pk]), RATES | fields)


def errors(answer: Any) -> dict[str, list[str]]:
    return dict(answer.context["adminform"].form.errors)


def moment(field: str, at: datetime) -> dict[str, str]:
    return {f"{field}_0": f"{at:%Y-%m-%d}", f"{field}_1": f"{at:%H:%M:%S}"}


@pytest.mark.parametrize(
    ("typed", "nano"),
    [("0.15", 150_000_000), ("0.000000001", 1), ("75", 75_000_000_000), ("0", 0), ("1e3", 10**12)],
)
def test_usd_becomes_nano_usd_exactly(browser, typed, nano):
    assert add(browser, make_price_book(), output_usd=typed).status_code == 302
    price = Price.objects.get()
    assert (price.input_nano, price.output_nano, price.cached_input_nano) == (
        150_000_000, nano, None,
    )  # fmt: skip
    assert price.per_request_nano == 0
    page = browser.get(reverse(CHANGE, args=[price.pk]))
    shown = page.context["adminform"].form["output_usd"].value()
    assert change(browser, price, output_usd=shown).status_code == 302
    assert Price.objects.get() == price


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("0.0000000001", "Ensure that there are no more than 9 decimal places."),
        ("-1", "Ensure this value is greater than or equal to 0."),
        ("9999999999", "larger than ChatVault can book"),
        ("NaN", "Enter a number."),
        ("1,5", "Enter a number."),
        ("", "This field is required."),
    ],
)
def test_what_is_no_price_is_told_at_its_field(browser, typed, told):
    answer = add(browser, make_price_book(), input_usd=typed)
    assert told in " ".join(errors(answer)["input_usd"])
    assert list(errors(answer)) == ["input_usd"]
    assert not Price.objects.exists()


def test_a_changed_price_ends_and_another_follows(browser):
    price = make_price(model="my-model", reasoning_nano=7)
    before = Price.objects.values().get()
    answer = change(browser, price, input_usd="0.3", reasoning_usd="0.000000007")
    assert answer.status_code == 302
    old, new = Price.objects.order_by("valid_from")
    ended = Price.objects.filter(pk=price.pk).values().get()
    assert ended | {"valid_to": None} == before
    assert old.valid_to == new.valid_from
    assert (new.input_nano, new.output_nano, new.reasoning_nano) == (300_000_000, 600_000_000, 7)
    assert new.valid_to is None
    assert Revision.objects.get().comment == f"Changed price my-model in {price.book}"


def test_a_save_without_a_change_makes_no_version(browser):
    price = make_price(model="my-model")
    before = list(Price.objects.values())
    assert change(browser, price).status_code == 302
    assert list(Price.objects.values()) == before


def test_going_on_editing_goes_on_with_the_version_that_follows(browser):
    price = make_price(model="my-model")
    answer = change(browser, price, input_usd="0.3", _continue="1")
    assert answer.url == reverse(CHANGE, args=[Price.objects.latest("valid_from").pk])


def test_an_end_is_set_and_taken_back_without_a_new_version(browser):
    price = make_price(model="my-model")
    end = (clock.now() + timedelta(days=30)).replace(microsecond=0)
    change(browser, price, **moment("valid_to", end))
    assert Price.objects.get().valid_to == end
    change(browser, price)
    assert Price.objects.get().valid_to is None


def test_a_price_that_has_ended_stays_as_it_is(browser):
    price = make_price(model="my-model", valid_to=datetime(2026, 2, 1, tzinfo=UTC))
    assert "$0.15" in browser.get(reverse(CHANGE, args=[price.pk])).content.decode()
    before = Price.objects.values().get()
    assert change(browser, price, input_usd="1").status_code == 403
    url = reverse("admin:billing_price_delete", args=[price.pk])
    assert browser.post(url, {"post": "yes"}).status_code == 403
    assert Price.objects.values().get() == before


def test_a_price_that_holds_is_not_deleted(browser):
    price = make_price()
    url = reverse("admin:billing_price_delete", args=[price.pk])
    assert browser.post(url, {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [price.pk], "post": "yes"}
    browser.post(reverse(LIST), data)
    assert Price.objects.get() == price


def test_another_price_of_a_model_ends_the_one_that_holds(browser):
    price = make_price(model="my-model")
    add(browser, price.book, input_usd="1")
    old, new = Price.objects.order_by("valid_from")
    assert (old.pk, old.valid_to) == (price.pk, new.valid_from)


def test_a_price_to_come_is_not_overlapped(browser):
    start = (clock.now() + timedelta(days=10)).replace(microsecond=0)
    coming = make_price(model="my-model", valid_from=start)
    assert add(browser, coming.book, input_usd="1").status_code == 302
    assert Price.objects.earliest("valid_from").valid_to == start
    later = {"model": "my-model", **moment("valid_from", start)}
    told = errors(add(browser, coming.book, **later))
    assert told == {"valid_from": ["A price of this model begins at this moment already."]}
    late_end = moment("valid_to", start + timedelta(days=1))
    price = Price.objects.earliest("valid_from")
    told = errors(change(browser, price, input_usd="1", **late_end))
    assert "end by then, or leave this empty" in told["valid_to"][0]
    assert Price.objects.count() == 2


def test_prices_do_not_begin_or_end_in_the_past(browser):
    past = datetime(2026, 1, 1, tzinfo=UTC)
    told = errors(add(browser, make_price_book(), **moment("valid_from", past)))
    assert told == {"valid_from": ["This has passed. Leave it empty to begin now."]}
    told = errors(add(browser, make_price_book(), **moment("valid_to", past)))
    assert told == {"valid_to": ["Choose a moment that is still to come and after the start."]}
    assert not Price.objects.exists()


@pytest.mark.parametrize(
    ("typed", "doubt"), [("1.51", "more than 10 times"), ("0.0149", "less than a tenth of")]
)
def test_a_price_far_from_the_catalogue_is_asked_about(browser, typed, doubt):
    book = make_price_book()
    answer = add(browser, book, model="gpt-4o-mini", input_usd=typed)
    (told,) = errors(answer)["input_usd"]
    assert doubt in told
    assert "$0.15 per 1M tokens" in told
    assert 'type="checkbox" name="confirmed"' in answer.content.decode()
    assert not Price.objects.exists()
    add(browser, book, model="gpt-4o-mini", input_usd=typed, confirmed="on")
    assert Price.objects.count() == 1


def test_a_price_of_searches_is_compared_each_and_none_is_no_slip(browser):
    book = make_price_book()
    answer = add(browser, book, model="gpt-4o-mini", per_search_usd="25")
    assert list(errors(answer)) == ["per_search_usd"]
    assert "list price of $0.025 each" in errors(answer)["per_search_usd"][0]
    assert add(browser, book, model="gpt-4o-mini").status_code == 302


def test_the_list_shows_the_example_and_filters_by_state(browser):
    price = make_price()
    page = browser.get(reverse(LIST)).content.decode()
    assert "$0.0021" in page
    for state, rows in (("current", [price]), ("to-come", []), ("ended", []), ("junk", [price])):
        found = browser.get(reverse(LIST), {"state": state}).context["cl"].result_list
        assert found == rows


def test_ending_prices_by_action(browser):
    price, ended = make_price(), make_price(valid_to=datetime(2026, 2, 1, tzinfo=UTC))
    data = {"action": "end_now", "_selected_action": [price.pk, ended.pk], "index": "0"}
    browser.post(reverse(LIST), data)
    assert Price.objects.get(pk=price.pk).valid_to <= clock.now()
    assert Price.objects.get(pk=ended.pk).valid_to == ended.valid_to


@pytest.fixture
def book() -> PriceBook:
    """A book with an old price of one deployed model and none of another; one is not listed."""
    provider = make_provider(family="openai")
    for model in ("gpt-4o-mini", "gpt-4o", "homegrown"):
        make_deployment(provider=provider, model=model)
    book = make_price_book()
    make_price(book=book, model="gpt-4o", input_nano=1, output_nano=2, per_request_nano=3)
    return book


def test_list_prices_are_shown_and_nothing_changes(browser, book):
    page = browser.get(reverse(IMPORT, args=[book.pk])).content.decode()
    assert "<del>$0.000000001</del> → <ins>$2.50</ins>" in page
    assert "no price of: homegrown" in page
    assert Price.objects.count() == 1
    assert not Revision.objects.exists()


def test_only_ticked_list_prices_are_imported(browser, book):
    url = reverse(IMPORT, args=[book.pk])
    plan = browser.get(url).context["plan"].digest
    browser.post(url, {"plan": plan, "model": ["gpt-4o", "homegrown"]})
    old, new = Price.objects.order_by("valid_from")
    assert (new.model, new.input_nano, new.output_nano) == ("gpt-4o", 2_500_000_000, 10**10)
    assert new.per_request_nano == 3
    assert old.valid_to == new.valid_from
    assert Revision.objects.get().comment == f"Imported 1 list prices into price book {book}"
    again = browser.get(url).context["plan"]
    assert again.unchanged == ["gpt-4o"]
    assert [change.model for change in again.changes] == ["gpt-4o-mini"]


def test_a_plan_that_is_no_longer_true_is_shown_again(browser, book):
    url = reverse(IMPORT, args=[book.pk])
    plan = browser.get(url).context["plan"].digest
    Price.objects.all().delete()
    answer = browser.post(url, {"plan": plan, "model": ["gpt-4o"]})
    assert answer.url == url
    assert not Price.objects.exists()


def test_importing_needs_the_permission_to_change_prices(book):
    browser = Browser()
    browser.force_login(make_person("viewer"))
    url = reverse(IMPORT, args=[book.pk])
    assert browser.get(url).status_code == 403
    assert browser.post(url, {"model": ["gpt-4o"]}).status_code == 403
    assert Price.objects.count() == 1


@pytest.mark.parametrize(
    ("markup", "charged"),
    [("20", "$1.20"), ("-10", "$0.90"), ("-100", "$0.00"), ("0.0001", "$1.000001")],
)
def test_a_tier_shows_what_a_dollar_becomes(browser, markup, charged):
    make_tier(markup_percent=markup)
    page = browser.get(reverse("admin:billing_pricingtier_changelist")).content.decode()
    assert charged in page


def test_a_discount_of_more_than_all_is_refused_in_words(browser):
    data = {"name": "free", "price_book": make_price_book().pk, "markup_percent": "-100.5"}
    answer = browser.post(reverse("admin:billing_pricingtier_add"), data)
    told = errors(answer)["markup_percent"]
    assert told == ["Ensure this value is greater than or equal to -100."]


def test_a_new_price_names_the_next_step(browser):
    book = make_price_book(name="list")
    add(browser, book)
    page = browser.get(reverse("admin:billing_price_changelist"))
    told = [str(message) for message in page.context["messages"]]
    assert any("clients whose tier has the book list pay this price" in text for text in told)
    assert any(reverse("admin:accounts_client_changelist") in text for text in told)
