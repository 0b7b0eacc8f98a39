"""What the database keeps of prices and tiers: periods that do not overlap, versions that stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from apps.billing import price_guard, pricing, services
from apps.billing.models import Price, PricingTier, TierTerms
from apps.billing.versions import Versions
from apps.providers.adapters.contract import Usage
from tests.factories import make_deployment, make_price, make_price_book, make_tier

pytestmark = pytest.mark.django_db

MAY, JUNE, JULY, AUGUST = (datetime(2027, month, 1, tzinfo=UTC) for month in (5, 6, 7, 8))
FIXED = {"m": {"rates": {"input": 5_000_000, "output": 0}}}


@pytest.mark.parametrize(
    ("start", "end"),
    [(MAY, None), (MAY, JULY), (JUNE + timedelta(days=1), AUGUST), (MAY, AUGUST), (MAY, None)],
    ids=["open", "into", "out of", "around", "open again"],
)
def test_the_database_refuses_periods_that_overlap(start, end):
    kept = make_price(valid_from=JUNE, valid_to=AUGUST)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_price(book=kept.book, valid_from=start, valid_to=end)
    assert Price.objects.get() == kept


def test_a_change_of_a_period_is_refused_as_well():
    first = make_price(valid_from=MAY, valid_to=JUNE)
    make_price(book=first.book, valid_from=JULY)
    with pytest.raises(IntegrityError, match=price_guard.OVERLAP), transaction.atomic():
        Price.objects.filter(pk=first.pk).update(valid_to=AUGUST)
    with pytest.raises(IntegrityError), transaction.atomic():
        services.end_prices(prices=[first], at=None)


def test_neighbours_other_models_books_and_deployments_do_not_overlap():
    first = make_price(valid_from=MAY, valid_to=JUNE)
    make_price(book=first.book, valid_from=JUNE)
    make_price(book=first.book, valid_from=MAY, model="other")
    make_price(book=make_price_book(), valid_from=MAY)
    make_price(book=first.book, valid_from=MAY, deployment=make_deployment(model=first.model))
    make_price(book=first.book, valid_from=MAY, deployment=make_deployment(model=first.model))
    assert Price.objects.count() == 6


def test_prices_of_one_deployment_follow_one_another_apart_from_the_models():
    general = make_price(valid_from=MAY)
    deployment = make_deployment(model=general.model)
    rates = {"input_nano": 7, "output_nano": 8}
    own = services.start_price(
        book=general.book, model=general.model, rates=rates, valid_from=JUNE, deployment=deployment
    )
    services.succeed_price(price=own, rates=rates | {"input_nano": 9}, valid_to=None, now=JULY)
    periods = Price.objects.order_by("valid_from").values_list(
        "deployment_id", "input_nano", "valid_from", "valid_to"
    )
    assert list(periods) == [
        (None, 150_000_000, MAY, None),
        (deployment.pk, 7, JUNE, JULY),
        (deployment.pk, 9, JULY, None),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bands": [{"above": 5, "rates": {"input": -1}}]},
        {"service_tiers": {"batch": {"factor_ppm": -1}}},
        {"windows": [{"start": 1, "end": 1}]},
        {"volume": {"kind": "graduated", "steps": []}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_conditions_that_make_no_sense_are_not_saved(wrong):
    with pytest.raises(ValueError, match=r"\."):
        make_price(**wrong)
    assert not Price.objects.exists()


def test_negative_rates_are_refused_by_the_database():
    for name in ("input_nano", "image_output_nano", "per_search_nano"):
        with pytest.raises(IntegrityError), transaction.atomic():
            make_price(**{name: -1})


def test_each_change_of_a_tier_leaves_a_version():
    tier = make_tier(markup_percent=Decimal("12.5"))
    first = tier.current_terms
    tier.save()
    assert tier.current_terms == first
    tier.minimum_nano, tier.overrides = 1_000, FIXED
    tier.save()
    assert [each.pk for each in tier.versions.order_by("pk")] == [first.pk, tier.current_terms_id]
    terms = PricingTier.objects.get(pk=tier.pk).terms()
    assert (terms.terms_id, terms.markup_ppm, terms.minimum_nano) == (
        tier.current_terms_id, 125_000, 1_000,
    )  # fmt: skip
    assert terms.overrides["m"] == pricing.Price(id=0, model="m", input=5_000_000, output=0)


def test_a_version_is_never_changed():
    terms = make_tier().current_terms
    with pytest.raises(IntegrityError, match=price_guard.UNCHANGED), transaction.atomic():
        TierTerms.objects.filter(pk=terms.pk).update(markup_ppm=5)
    terms.refresh_from_db()
    assert terms.markup_ppm == 0


def test_a_version_outlives_its_tier():
    tier = make_tier(markup_percent=10)
    terms_id = tier.current_terms_id
    PricingTier.objects.all().delete()
    assert Versions().terms(terms_id).markup_ppm == 100_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"overrides": {"m": {"rates": {"input": 1}}}},
        {"overrides": {"m": {"rates": {"input": -1, "output": 1}}}},
        {"volume": {"kind": "often", "steps": [{"above": 1}]}},
    ],
    ids=str,
)
def test_terms_that_make_no_sense_are_not_saved(wrong):
    with pytest.raises(ValueError, match=r"\."):
        make_tier(**wrong)
    assert not PricingTier.objects.exists()


def test_what_was_billed_is_billed_again_by_its_versions(django_assert_num_queries):
    price = make_price(bands=[{"above": 10, "rates": {"input": 300_000_000}}])
    tier = make_tier(markup_percent=50)
    services.succeed_price(
        price=price, rates={"input_nano": 1, "output_nano": 1}, valid_to=None, now=AUGUST
    )
    old = tier.current_terms_id
    tier.markup_percent = 99
    tier.save()
    versions = Versions()
    with django_assert_num_queries(2):
        versions.load(price_ids=[price.pk, 0], terms_ids=[old, 0])
        again = pricing.bill(Usage(1_000), versions.price(price.pk), versions.terms(old))
        assert versions.price(0) is None
        assert versions.terms(0, tier_id=7, markup_ppm=8) == pricing.Terms(7, 8)
    assert again == pricing.Bill(300_000, 450_000)


def test_a_damaged_version_counts_as_none():
    price = make_price()
    Price.objects.update(bands=[{"above": "many"}])
    assert Versions().price(price.pk) is None


def test_the_triggers_come_back_and_go(db):
    price_guard.remove(connection)
    first = make_price(valid_from=MAY)
    with transaction.atomic():
        Price.objects.filter(pk=first.pk).update(valid_to=JUNE)
    price_guard.install(connection)
    price_guard.install(connection)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_price(book=first.book, valid_from=MAY + timedelta(days=1))
