from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.pricing import (
    MAX_TOKENS,
    Bill,
    Price,
    Terms,
    bill,
    estimate_prompt_tokens,
    valid_usage,
    worst_case,
)
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import MAX_NANO_USD, nano_from_usd

GPT = Price(
    id=1,
    model="gpt-4o-mini",
    input=nano_from_usd("0.15"),
    cached_input=nano_from_usd("0.075"),
    output=nano_from_usd("0.60"),
)
EVERY_CLASS = Price(
    id=2,
    model="everything",
    input=1_000_000,
    output=2_000_000,
    cached_input=3_000_000,
    cache_write=5_000_000,
    cache_write_1h=7_000_000,
    reasoning=11_000_000,
    audio_input=13_000_000,
    audio_output=17_000_000,
    per_request=1_000_000_000,
)
LIST = Terms()

RATES = st.one_of(st.integers(0, 10**6), st.integers(0, 2**63 - 1))
PRICES = st.builds(
    Price,
    id=st.just(1),
    model=st.just("m"),
    input=RATES,
    output=RATES,
    cached_input=st.none() | RATES,
    cache_write=st.none() | RATES,
    cache_write_1h=st.none() | RATES,
    reasoning=st.none() | RATES,
    audio_input=st.none() | RATES,
    audio_output=st.none() | RATES,
    per_request=RATES,
)
TERMS = st.builds(Terms, tier_id=st.just(1), markup_ppm=st.integers(-1_000_000, 10_000_000))
WHOLE = st.one_of(st.integers(0, 200), st.integers(0, MAX_TOKENS))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage that `valid_usage` lets through, cached audio included."""
    prompt, answer = draw(WHOLE), draw(WHOLE)
    cached = draw(st.integers(0, prompt))
    write = draw(st.integers(0, prompt - cached))
    write_1h = draw(st.integers(0, prompt - cached - write))
    reasoning = draw(st.integers(0, answer))
    return Usage(
        input_tokens=prompt,
        output_tokens=answer,
        cached_input_tokens=cached,
        cache_write_tokens=write,
        cache_write_1h_tokens=write_1h,
        reasoning_tokens=reasoning,
        audio_input_tokens=draw(st.integers(0, prompt)),
        audio_output_tokens=draw(st.integers(0, answer - reasoning)),
    )


def test_ten_thousand_in_and_one_thousand_out_of_a_list_price():
    usage = Usage(input_tokens=10_000, output_tokens=1_000)
    assert bill(usage, GPT, LIST) == Bill(cost_nano=2_100_000, charged_nano=2_100_000)


def test_cached_tokens_cost_their_own_price():
    usage = Usage(input_tokens=10_000, output_tokens=1_000, cached_input_tokens=8_000)
    assert bill(usage, GPT, LIST).cost_nano == 300_000 + 600_000 + 600_000


def test_each_class_is_billed_once_at_its_rate():
    usage = Usage(
        input_tokens=1_111,
        cached_input_tokens=10,
        cache_write_tokens=100,
        cache_write_1h_tokens=1_000,
        audio_input_tokens=1,
        output_tokens=111,
        reasoning_tokens=10,
        audio_output_tokens=1,
    )
    prompt = 10 * 3 + 100 * 5 + 1_000 * 7 + 1 * 13
    answer = 10 * 11 + 1 * 17 + 100 * 2
    assert bill(usage, EVERY_CLASS, LIST).cost_nano == prompt + answer + 1_000_000_000


def test_a_class_without_a_price_costs_what_its_side_costs():
    plain = Price(id=1, model="m", input=7_000_000, output=9_000_000)
    usage = Usage(10, 10, 1, 2, 3, 4, 1, 2)
    assert bill(usage, plain, LIST) == bill(Usage(10, 10), plain, LIST)


def test_an_hours_cache_write_without_a_price_costs_what_a_write_costs():
    price = Price(id=1, model="m", input=1_000_000, output=0, cache_write=4_000_000)
    assert bill(Usage(5, 0, cache_write_1h_tokens=5), price, LIST).cost_nano == 20


def test_cached_audio_is_billed_as_cached_and_not_twice():
    usage = Usage(input_tokens=10, cached_input_tokens=8, audio_input_tokens=5)
    assert bill(usage, EVERY_CLASS, LIST).cost_nano == 8 * 3 + 2 * 13 + 1_000_000_000


@pytest.mark.parametrize(
    ("rate", "tokens", "nano"),
    [(1, 499_999, 0), (1, 500_000, 1), (1, 1_499_999, 1), (1, 1_500_000, 2), (999_999, 1, 1)],
)
def test_the_one_rounding_is_half_up(rate, tokens, nano):
    price = Price(id=1, model="m", input=rate, output=0)
    assert bill(Usage(input_tokens=tokens), price, LIST) == Bill(nano, nano)


def test_sides_are_summed_before_they_are_rounded():
    price = Price(id=1, model="m", input=250_000, output=250_000)
    assert bill(Usage(1, 1), price, LIST).cost_nano == 1


def test_the_charge_is_rounded_from_the_exact_cost_and_not_from_the_rounded_one():
    price = Price(id=1, model="m", input=400_000, output=0)
    assert bill(Usage(1, 0), price, Terms(1, 250_000)) == Bill(cost_nano=0, charged_nano=1)


@pytest.mark.parametrize(("ppm", "charged"), [(50_000, 1_050), (-1_000_000, 0), (-250_000, 750)])
def test_mark_up_and_discount_change_the_charge_alone(ppm, charged):
    price = Price(id=1, model="m", input=1_000_000, output=0)
    assert bill(Usage(1_000, 0), price, Terms(1, ppm)) == Bill(1_000, charged)


def test_nothing_used_costs_the_price_of_a_request():
    assert bill(Usage(), EVERY_CLASS, LIST).cost_nano == 1_000_000_000
    assert bill(Usage(), GPT, LIST) == Bill(0, 0)


def test_a_bill_beyond_what_can_be_booked_stops_there():
    price = Price(id=1, model="m", input=2**63 - 1, output=0)
    usage = Usage(input_tokens=MAX_TOKENS)
    assert bill(usage, price, LIST) == Bill(MAX_NANO_USD, MAX_NANO_USD)
    assert bill(usage, price, Terms(1, -1_000_000)) == Bill(MAX_NANO_USD, 0)


@given(usages(), PRICES, TERMS)
def test_a_bill_is_the_decimal_sum_rounded_once(usage, price, terms):
    def rate(*candidates: int | None) -> int:
        return next(candidate for candidate in candidates if candidate is not None)

    caches = usage.cached_input_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
    audio = min(usage.audio_input_tokens, usage.input_tokens - caches)
    parts = [
        (usage.cached_input_tokens, rate(price.cached_input, price.input)),
        (usage.cache_write_tokens, rate(price.cache_write, price.input)),
        (
            usage.cache_write_1h_tokens,
            rate(price.cache_write_1h, price.cache_write, price.input),
        ),
        (audio, rate(price.audio_input, price.input)),
        (usage.input_tokens - caches - audio, price.input),
        (usage.reasoning_tokens, rate(price.reasoning, price.output)),
        (usage.audio_output_tokens, rate(price.audio_output, price.output)),
        (
            usage.output_tokens - usage.reasoning_tokens - usage.audio_output_tokens,
            price.output,
        ),
        (1_000_000, price.per_request),
    ]
    exact = Decimal(sum(tokens * rate for tokens, rate in parts)).scaleb(-6)
    markup = 1 + Decimal(terms.markup_ppm).scaleb(-6)

    def booked(amount: Decimal) -> int:
        return min(int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP)), MAX_NANO_USD)

    assert bill(usage, price, terms) == Bill(booked(exact), booked(exact * markup))


@given(usages(), PRICES, TERMS, st.integers(0, 1000), st.integers(0, 1000))
def test_no_usage_within_the_sizes_is_billed_above_the_worst_case(
    usage, price, terms, more_in, more_out
):
    worst = worst_case(
        prompt_tokens=usage.input_tokens + more_in,
        max_output_tokens=usage.output_tokens + more_out,
        price=price,
        terms=terms,
    )
    assert 0 <= bill(usage, price, terms).charged_nano <= worst <= MAX_NANO_USD


@pytest.mark.parametrize(
    "dearest", ["cached_input", "cache_write", "cache_write_1h", "audio_input"]
)
def test_the_worst_case_takes_the_dearest_class_of_the_prompt(dearest):
    price = msgspec.structs.replace(GPT, **{dearest: 10**12})
    worst = worst_case(prompt_tokens=3, max_output_tokens=0, price=price, terms=LIST)
    assert worst == 3_000_000


@pytest.mark.parametrize("dearest", ["reasoning", "audio_output"])
def test_the_worst_case_takes_the_dearest_class_of_the_answer(dearest):
    price = msgspec.structs.replace(GPT, **{dearest: 10**12})
    worst = worst_case(prompt_tokens=0, max_output_tokens=3, price=price, terms=LIST)
    assert worst == 3_000_000


def test_the_worst_case_of_absurd_sizes_is_the_most_that_can_be_booked():
    sizes = {"prompt_tokens": 2**63, "max_output_tokens": 2**63}
    assert worst_case(**sizes, price=GPT, terms=LIST) == MAX_NANO_USD


@given(usages(), PRICES, TERMS, st.integers(0, MAX_TOKENS))
def test_more_tokens_never_cost_less(usage, price, terms, more):
    larger = msgspec.structs.replace(
        usage, input_tokens=usage.input_tokens + more, output_tokens=usage.output_tokens + more
    )
    smaller_bill, larger_bill = bill(usage, price, terms), bill(larger, price, terms)
    assert larger_bill.cost_nano >= smaller_bill.cost_nano
    assert larger_bill.charged_nano >= smaller_bill.charged_nano


@pytest.mark.parametrize(
    ("body_bytes", "tokens"), [(0, 0), (1, 1), (30, 11), (31, 12), (3_000, 1_100)]
)
def test_the_prompt_is_estimated_from_the_bytes_of_the_body(body_bytes, tokens):
    assert estimate_prompt_tokens(body_bytes) == tokens


@given(usages())
def test_consistent_counts_are_valid(usage):
    assert valid_usage(usage)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=-1),
        Usage(output_tokens=-1),
        Usage(input_tokens=MAX_TOKENS + 1),
        Usage(output_tokens=MAX_TOKENS + 1),
        Usage(input_tokens=5, cached_input_tokens=6),
        Usage(input_tokens=5, cached_input_tokens=-1),
        Usage(input_tokens=5, cache_write_tokens=6),
        Usage(input_tokens=5, cache_write_tokens=-1, cached_input_tokens=1),
        Usage(input_tokens=5, cache_write_1h_tokens=6),
        Usage(input_tokens=5, cache_write_1h_tokens=-1, cached_input_tokens=1),
        Usage(input_tokens=5, cached_input_tokens=3, cache_write_tokens=3),
        Usage(input_tokens=5, audio_input_tokens=6),
        Usage(input_tokens=5, audio_input_tokens=-1),
        Usage(output_tokens=5, reasoning_tokens=6),
        Usage(output_tokens=5, reasoning_tokens=-1, audio_output_tokens=1),
        Usage(output_tokens=5, audio_output_tokens=-1, reasoning_tokens=1),
        Usage(output_tokens=5, reasoning_tokens=3, audio_output_tokens=3),
    ],
)
def test_inconsistent_counts_are_not_valid(usage):
    assert not valid_usage(usage)
