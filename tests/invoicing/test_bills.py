"""Every format is read exactly, and what cannot be taken is named by its line."""

from __future__ import annotations

import gzip
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from apps.invoicing import bills
from apps.invoicing.bills import Fault, Line, Options, Unreadable
from tests.invoicing import bills as samples

FIRST, SECOND = date(2026, 10, 1), date(2026, 10, 2)


def lines(form: str, data: bytes, **options: Any) -> list[Any]:
    return list(bills.read(form, data, Options(**options)))


def told(form: str, data: bytes, **options: Any) -> list[tuple[date, str, Decimal, str]]:
    found = lines(form, data, **options)
    assert all(isinstance(each, Line) for each in found), found
    return [(each.day, each.model, each.amount, each.aside) for each in found]


@pytest.mark.parametrize(
    ("data", "amounts"),
    [
        (samples.OPENAI_JSON, ["0.06", "0.1234567891234", "2"]),
        (samples.OPENAI_CSV, ["0.06", "0.0015"]),
    ],
    ids=["json", "csv"],
)
def test_openai_names_the_model_before_the_comma(data: bytes, amounts: list[str]):
    found = told("openai", data)
    assert [amount for _, _, amount, _ in found] == [Decimal(each) for each in amounts]
    assert [(day, model) for day, model, _, _ in found[:2]] == [
        (FIRST, "gpt-4o-mini-2024-07-18"),
        (FIRST, "gpt-4o-mini-2024-07-18"),
    ]


@pytest.mark.parametrize(
    "data", [samples.ANTHROPIC_JSON, samples.ANTHROPIC_CSV], ids=["json_in_cents", "csv_in_usd"]
)
def test_anthropic_gives_cents_or_dollars_and_says_what_is_no_model(data: bytes):
    assert told("anthropic", data) == [
        (FIRST, "claude-sonnet-4-20250514", Decimal("1.2378912"), ""),
        (FIRST, "", Decimal("0.30"), "web search"),
    ]


@pytest.mark.parametrize(
    "data", [samples.AWS_CSV, gzip.compress(samples.AWS_CSV)], ids=["csv", "gzip"]
)
def test_of_an_aws_report_only_bedrock_is_read(data: bytes):
    assert told("aws_cur", data) == [
        (FIRST, "Claude3Sonnet", Decimal("0.003"), ""),
        (FIRST, "Claude3Sonnet", Decimal("0.0015"), ""),
        (FIRST, "Claude 3.5 Sonnet", Decimal("0.021"), ""),
        (FIRST, "Claude3Sonnet", Decimal("0.19"), "tax"),
    ]


def test_the_same_as_parquet():
    assert told("aws_cur", samples.aws_parquet()) == [
        (FIRST, "Claude3Haiku", Decimal("0.00025"), "")
    ]


def test_azure_names_the_model_before_the_direction():
    found = lines("azure", samples.AZURE_CSV)
    assert [(each.day, each.model, each.currency) for each in found] == [
        (FIRST, "gpt-4o-mini-0718", "EUR"),
        (SECOND, "gpt 4o mini 0718", "EUR"),
    ]


def test_any_csv_by_a_mapping_of_its_columns():
    data = samples.generic(
        "01/10/2026;gpt-4o;1.234,56;eur;1.000", head="Tag;Modell;Betrag;Währung;Menge"
    )
    mapping = {
        "date": "Tag", "model": "Modell", "amount": "Betrag", "currency": "Währung",
        "quantity": "Menge",
    }  # fmt: skip
    found = lines("generic", data, mapping=mapping, day_order="dmy", decimal_comma=True)
    assert found == [Line(2, FIRST, "gpt-4o", Decimal("1234.56"), "EUR", Decimal(1000))]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2026-10-01,m,NaN,USD", "not a finite number"),
        ("2026-10-01,m,-Infinity,USD", "not a finite number"),
        ("2026-10-01,m,1e99,USD", "absurdly large"),
        ("2026-10-01,m,1e9999,USD", "not a number"),
        ("2026-10-01,m,,USD", "the amount is missing"),
        ("2026-10-01,m,=1+1,USD", "not a number"),
        ("2026-10-01,m,1 000,USD", "not a number"),
        ("2026-02-30,m,1,USD", "the date cannot be read"),
        ("1999-01-01,m,1,USD", "the date is out of range"),
        ("10/01/2026,m,1,USD", "day first or month first"),
        (",m,1,USD", "the date is missing"),
        ("2026-10-01,m,1,dollars", "not a code of three letters"),
        ("2026-10-01,m,1,USD,more", "more cells than there are columns"),
        (f"2026-10-01,{'m' * 201},1,USD", "longer than 200"),
    ],
    ids=lambda value: value[:28] if isinstance(value, str) else None,
)
def test_a_line_that_cannot_be_taken_is_named(row: str, reason: str):
    found = lines("generic", samples.generic("2026-10-01,m,1,USD", row))
    assert isinstance(found[0], Line)
    assert isinstance(found[1], Fault)
    assert found[1].number == 3
    assert reason in found[1].reason


def test_another_currency_than_was_told_is_a_fault():
    found = lines("generic", samples.generic("2026-10-01,m,1,GBP"), currency="EUR")
    assert found == [Fault(2, "the line is in GBP, the bill in EUR")]


def test_numbers_of_json_that_are_none_are_faults():
    data = samples.ANTHROPIC_JSON.replace(b'"123.78912"', b"NaN").replace(b'"30"', b"true")
    assert [each.reason for each in lines("anthropic", data)] == [
        "the amount is not a finite number ('NaN')",
        "the amount is missing",
    ]


@pytest.mark.parametrize(
    ("form", "data", "reason"),
    [
        ("openai", b"", "empty"),
        ("openai", b'{"data": [', "not JSON"),
        ("openai", b'{"error": {"message": "no"}}', "no list `data`"),
        ("openai", samples.OPENAI_JSON.replace(b"false", b"true"), "one page of several"),
        ("openai", b"[" * 100_000, "nested too deep"),
        ("openai", b"a,b\n1,2\n", "no column start_time"),
        ("generic", "date,model,amount\n1,ü,1".encode("latin-1"), "not text in UTF-8"),
        ("generic", b"date,model,amount\n\x00,,", "zero bytes"),
        ("generic", b'date,model,amount\n"2026', "no line of a table"),
        ("generic", b"date,model\n2026-10-01,m\n", "no column amount"),
        ("azure", gzip.compress(b"x" * 1000)[:-9], "ends too early"),
        ("azure", b"\x1f\x8bnonsense", "gzip and is broken"),
        ("azure", gzip.compress(b"x" * 200_000), "Unpacked"),
        ("aws_cur", b"PAR1 nonsense PAR1", "Parquet file cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_what_is_no_bill_is_refused_as_a_whole(form: str, data: bytes, reason: str):
    with pytest.raises(Unreadable, match=reason):
        lines(form, data, most_bytes=20_000 if len(data) < 20_000 else 10**6)


def test_too_many_lines_and_too_large_a_file_are_refused():
    data = samples.generic(*["2026-10-01,m,1,USD"] * 4)
    with pytest.raises(Unreadable, match="more than 3 lines"):
        lines("generic", data, most_rows=3)
    with pytest.raises(Unreadable, match="larger than"):
        lines("generic", data, most_bytes=10)


def test_text_in_utf_16_and_without_a_last_line_end_is_read():
    data = "date,model,amount\n2026-10-01,модель,1".encode("utf-16")
    assert told("generic", data) == [(FIRST, "модель", Decimal(1), "")]


def test_instants_count_for_the_day_of_the_providers_zone():
    data = samples.generic("2026-10-01T23:30:00+00:00,m,1,USD")
    assert told("generic", data, zone=ZoneInfo("Asia/Kolkata"))[0][0] == SECOND
