"""Prices in configuration documents: rows are ended and followed, never rewritten."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine

from apps.billing.models import Price
from apps.configuration import documents
from apps.configuration.problems import DocumentRefused

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
