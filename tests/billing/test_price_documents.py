"""Prices in configuration documents: rows are ended and followed, never rewritten."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from apps.billing.models import Price, PricingTier
from apps.configuration import documents
from apps.configuration.problems import DocumentRefused
from tests.factories import make_deployment

pytestmark = pytest.mark.django_db

MONDAY = datetime(2027, 3, 1, 12, tzinfo=UTC)
TUESDAY = datetime(2027, 3, 2, 12, tzinfo=UTC)
FRIDAY = datetime(2027, 3, 5, tzinfo=UTC)
NEXT_YEAR = datetime(2028, 1, 1, tzinfo=UTC)


def book(*prices: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "price_books": [{"name": "list", "prices": list(prices)}]}


def price(input: str, output: str = "1", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": input, "output": output} | fields


def apply(document: dict[str, Any], **options: Any) -> documents.Applied:
    return documents.apply(document, source="document", actor=None, **options)


def rows() -> list[tuple[int, datetime, datetime | None]]:
    """(input in USD, from, to), the oldest first."""
    found = Price.objects.order_by("valid_from")
    return [(row.input_nano // 10**9, row.valid_from, row.valid_to) for row in found]


def at(moment: datetime) -> Any:
    return time_machine.travel(moment, tick=False)


def test_a_changed_price_ends_the_old_row_and_begins_a_new_one():
    with at(MONDAY):
        apply(book(price("1", cached_input="0.5")))
        first = Price.objects.get()
    with at(TUESDAY):
        assert apply(book(price("2"))).changed == ["price_books[list].prices[m]: input"]
        assert apply(book(price("2"))).is_noop
    assert rows() == [(1, MONDAY, TUESDAY), (2, TUESDAY, None)]
    old, new = Price.objects.order_by("valid_from")
    assert old.pk == first.pk
    assert (old.output_nano, old.cached_input_nano) == (new.output_nano, new.cached_input_nano)


def test_a_change_in_the_same_instant_keeps_periods_forward():
    with at(MONDAY):
        apply(book(price("1")))
        apply(book(price("2")))
        old, new = Price.objects.order_by("valid_from")
        assert old.valid_to == new.valid_from > old.valid_from


def test_fields_left_out_stay_and_null_clears():
    with at(MONDAY):
        apply(book(price("1", cached_input="0.5", reasoning="3")))
    with at(TUESDAY):
        assert apply(book(price("1"))).is_noop
        apply(book(price("1", cached_input=None)))
        new = Price.objects.get(valid_to=None)
        assert (new.cached_input_nano, new.reasoning_nano) == (None, 3 * 10**9)
        apply(book(price("1")), prune=True)
    assert Price.objects.get(valid_to=None).reasoning_nano is None
    assert Price.objects.count() == 3


def test_every_rate_is_read_and_written_exactly():
    names = [
        "cached_input", "cache_write", "cache_write_1h", "reasoning", "audio_input",
        "audio_output", "per_request",
    ]  # fmt: skip
    item = price("0.000000001", "9.999999999", **{name: f"0.{n}5" for n, name in enumerate(names)})
    apply(book(item))
    row = Price.objects.get()
    assert (row.input_nano, row.output_nano) == (1, 9_999_999_999)
    assert row.cache_write_1h_nano == 250_000_000
    assert row.per_request_nano == 650_000_000
    assert documents.export()["price_books"][0]["prices"] == [item]


def test_a_price_to_come():
    later = price("2", valid_from="2027-03-05T00:00:00+00:00")
    document = book(price("1"), later)
    with at(MONDAY):
        applied = apply(document)
        assert len(applied.created) == 3
        assert rows() == [(1, MONDAY, FRIDAY), (2, FRIDAY, None)]
        assert apply(document).is_noop
        exported = documents.export()
        assert exported["price_books"][0]["prices"] == [
            price("1", valid_to="2027-03-05T00:00:00+00:00"),
            later,
        ]
        assert apply(exported, prune=True).is_noop
    with at(NEXT_YEAR):
        assert apply(document).is_noop
        assert documents.export()["price_books"][0]["prices"] == [price("2")]
    assert rows() == [(1, MONDAY, FRIDAY), (2, FRIDAY, None)]


def test_a_price_to_come_is_added_to_one_that_holds():
    with at(MONDAY):
        apply(book(price("1")))
    with at(TUESDAY):
        apply(book(price("2", valid_from="2027-03-05T00:00:00Z")))
        assert rows() == [(1, MONDAY, FRIDAY), (2, FRIDAY, None)]


def test_a_changed_price_leaves_the_one_to_come():
    with at(MONDAY):
        apply(book(price("1"), price("3", valid_from="2027-03-05T00:00:00Z")))
    with at(TUESDAY):
        apply(book(price("2")))
    assert rows() == [(1, MONDAY, TUESDAY), (2, TUESDAY, FRIDAY), (3, FRIDAY, None)]


def test_a_price_to_come_that_changes_is_replaced():
    with at(MONDAY):
        apply(book(price("1"), price("3", valid_from="2027-03-05T00:00:00Z")))
    with at(TUESDAY):
        apply(book(price("4", valid_from="2027-03-05T00:00:00Z")))
    assert rows() == [(1, MONDAY, FRIDAY), (4, FRIDAY, None)]


def test_a_price_that_ends():
    with at(MONDAY):
        apply(book(price("1", valid_to="2027-03-05T00:00:00Z")))
        assert rows() == [(1, MONDAY, FRIDAY)]
    with at(NEXT_YEAR):
        assert apply(book(price("1", valid_to="2027-03-05T00:00:00Z"))).is_noop
        assert "prices" not in documents.export()["price_books"][0]
        apply(book(price("5")))
    assert rows() == [(1, MONDAY, FRIDAY), (5, NEXT_YEAR, None)]


def test_an_end_is_taken_back():
    with at(MONDAY):
        apply(book(price("1", valid_to="2027-03-05T00:00:00Z")))
        applied = apply(book(price("1", valid_to=None)))
        assert applied.changed == ["price_books[list].prices[m]: valid_to"]
    assert rows() == [(1, MONDAY, None)]


def test_pruned_prices_end_and_those_to_come_go():
    with at(MONDAY):
        other = price("9") | {"model": "other"}
        apply(book(price("1"), price("3", valid_from="2027-03-05T00:00:00Z"), other))
    with at(TUESDAY):
        applied = apply(book(other), prune=True)
        assert len(applied.removed) == 2
        assert apply(book(other), prune=True).is_noop
    assert [row for row in rows() if row[0] != 9] == [(1, MONDAY, TUESDAY)]


def test_unnamed_prices_stay():
    apply(book(price("1")))
    assert apply(book(price("9") | {"model": "other"})).created == [
        "price_books[list].prices[other]"
    ]
    assert Price.objects.filter(valid_to=None).count() == 2


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        (price("1", valid_from="2027-03-05"), "valid_from"),
        (price("1", valid_from="2027-03-05T00:00:00"), "valid_from"),
        (
            price("1", valid_from="2027-03-05T00:00:00Z", valid_to="2027-03-04T00:00:00Z"),
            "valid_to",
        ),
        (price("-1"), "input"),
        (price("0.0000000001"), "input"),
        (price("NaN"), "input"),
        (price("free"), "input"),
        ({"model": "m", "input": 0.15, "output": "1"}, "input"),
        ({"model": "m", "input": True, "output": "1"}, "input"),
        ({"model": "m", "input": "1"}, "output"),
        (price("1") | {"model": ""}, "model"),
    ],
)
def test_wrong_prices_are_refused(wrong, path):
    with pytest.raises(DocumentRefused) as caught:
        apply(book(wrong))
    assert [p.path for p in caught.value.problems] == [f"price_books[0].prices[0].{path}"]
    assert not Price.objects.exists()


def test_the_same_price_twice_is_refused():
    with pytest.raises(DocumentRefused, match="the same as"):
        apply(book(price("1"), price("2")))


WHOLE = price(
    "1.25",
    "10",
    cached_input="0.125",
    image_input="2",
    image_output="30",
    per_second="0.0001",
    per_image="0.04",
    per_search="0.01",
    bands=[{"above": 200_000, "input": "2.5", "output": "15", "cached_input": "0.25"}],
    service_tiers={
        "batch": {"percent": "50"},
        "priority": {
            "input": "2.25",
            "output": "18",
            "bands": [{"above": 200_000, "input": "4.5", "output": "27"}],
        },
    },
    windows=[{"from": "16:30", "to": "00:30", "percent": "33.3333"}],
    volume={
        "kind": "graduated",
        "steps": [
            {"above": 1_000_000, "percent": "80"},
            {"above": 9_000_000, "input": "0.5", "output": "2"},
        ],
    },
)


def exported() -> dict[str, Any]:
    return documents.export()["price_books"][0]["prices"][0]


def test_all_of_a_price_is_written_and_read_back():
    with at(MONDAY):
        apply(book(WHOLE))
        assert exported() == WHOLE
        assert apply(book(WHOLE)).is_noop
        assert apply(documents.export(), prune=True).is_noop
    row = Price.objects.get()
    assert row.service_tiers["priority"]["bands"] == [
        {"above": 200_000, "rates": {"input": 4_500_000_000, "output": 27_000_000_000}}
    ]
    assert row.windows == [{"start": 990, "end": 30, "factor_ppm": 333_333}]
    assert row.version().per_second == 100_000


def test_a_changed_band_begins_a_new_version():
    with at(MONDAY):
        apply(book(WHOLE))
    bands = [{"above": 200_000, "input": "3", "output": "15"}]
    with at(TUESDAY):
        assert apply(book(WHOLE | {"bands": bands})).changed == [
            "price_books[list].prices[m]: bands"
        ]
    old, new = Price.objects.order_by("valid_from")
    assert (old.valid_to, new.valid_from) == (TUESDAY, TUESDAY)
    assert old.bands[0]["rates"]["input"] == 2_500_000_000
    assert new.service_tiers == old.service_tiers


def test_a_price_of_one_deployment_is_a_line_of_its_own():
    deployment = make_deployment(name="eu", model="m")
    with at(MONDAY):
        apply(book(price("1"), price("2", deployment="eu")))
    with at(TUESDAY):
        applied = apply(book(price("1"), price("3", deployment="eu")))
        assert applied.changed == ["price_books[list].prices[m at eu]: input"]
        prices = documents.export()["price_books"][0]["prices"]
    assert prices == [price("1"), price("3", deployment="eu")]
    assert set(Price.objects.values_list("deployment_id", flat=True)) == {None, deployment.pk}
    deployment.delete()
    with at(TUESDAY):
        assert documents.export()["price_books"][0]["prices"] == [price("1")]


def test_a_price_of_a_deployment_that_is_not_there_is_refused():
    with pytest.raises(DocumentRefused, match="nowhere"):
        apply(book(price("1", deployment="nowhere")))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bands", [{"above": 0, "input": "1"}]),
        ("bands", [{"above": 5}]),
        ("bands", [{"above": 5, "input": "-1"}]),
        ("bands", [{"above": 5, "input": "NaN"}]),
        ("bands", [{"above": 5, "input": "Infinity"}]),
        ("bands", [{"above": 5, "input": "1e30"}]),
        ("bands", [{"above": 5, "input": 0.1}]),
        ("bands", [{"above": 2**41, "input": "1"}]),
        ("bands", [{"above": 5, "inputs": "1"}]),
        ("bands", [{"above": 5, "percent": "50"}]),
        ("bands", {"above": 5, "input": "1"}),
        ("bands", [{"above": 9, "input": "1"}, {"above": 5, "input": "1"}]),
        ("service_tiers", {"batch": {"percent": "-1"}}),
        ("service_tiers", {"batch": {"percent": "NaN"}}),
        ("service_tiers", {"batch": {"percent": "0.00001"}}),
        ("service_tiers", {"Batch tier": {"percent": "50"}}),
        ("service_tiers", [{"percent": "50"}]),
        ("windows", [{"from": "24:00", "to": "01:00", "percent": "50"}]),
        ("windows", [{"from": "01:00", "to": "01:00", "percent": "50"}]),
        ("windows", [{"from": "01:00", "percent": "50"}]),
        ("windows", [{"from": "01:00", "to": "03:00"}, {"from": "02:00", "to": "04:00"}]),
        ("volume", {"kind": "graduated"}),
        ("volume", {"kind": "graduated", "steps": [{"above": 5, "percent": "101"}]}),
        ("volume", {"kind": "sometimes", "steps": [{"above": 5, "percent": "50"}]}),
        ("per_search", "-0.01"),
        ("image_output", "Infinity"),
    ],
    ids=str,
)
def test_wrong_conditions_are_refused_where_they_stand(field, value):
    with pytest.raises(DocumentRefused) as caught:
        apply(book(price("1") | {field: value}))
    (problem,) = caught.value.problems
    assert problem.path == f"price_books[0].prices[0].{field}"
    assert problem.hint
    assert not Price.objects.exists()


def tiers(**fields: Any) -> dict[str, Any]:
    tier = {"name": "gold", "price_book": "list", "markup_percent": "10"} | fields
    return book(price("1")) | {"pricing_tiers": [tier]}


def test_all_of_a_tier_is_written_and_read_back():
    fixed = {"m": {"input": "2", "output": "8", "service_tiers": {"batch": {"percent": "50"}}}}
    volume = {"kind": "all_units", "steps": [{"above": 1_000, "percent": "95"}]}
    document = tiers(minimum_usd="0.001", overrides=fixed, volume=volume)
    apply(document)
    assert documents.export()["pricing_tiers"] == document["pricing_tiers"]
    assert apply(document).is_noop
    tier = PricingTier.objects.get()
    assert tier.versions.count() == 1
    assert tier.terms().overrides["m"].output == 8_000_000_000
    apply(tiers(), prune=True)
    tier.refresh_from_db()
    assert (tier.minimum_nano, tier.overrides, tier.volume) == (0, None, None)
    assert tier.versions.count() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("minimum_usd", "-1"),
        ("minimum_usd", "NaN"),
        ("overrides", {"m": {"input": "1"}}),
        ("overrides", {"m": {"input": "-1", "output": "1"}}),
        ("overrides", [{"input": "1", "output": "1"}]),
        ("overrides", {"m": {"input": "1", "output": "1", "windows": [{"from": "1"}]}}),
        ("volume", "graduated"),
    ],
    ids=str,
)
def test_wrong_terms_are_refused_where_they_stand(field, value):
    with pytest.raises(DocumentRefused) as caught:
        apply(tiers(**{field: value}))
    assert [each.path for each in caught.value.problems] == [f"pricing_tiers[0].{field}"]
    assert not PricingTier.objects.exists()
