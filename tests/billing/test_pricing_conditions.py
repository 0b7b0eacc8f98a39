"""Bands, service tiers, hours of the day and terms, against a reference in fractions."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.pricing import (
    Band,
    Bill,
    Conditions,
    Price,
    ServiceTier,
    Terms,
    Window,
    bill,
    explain,
    valid_usage,
    worst_case,
)
from apps.billing.pricing.explain import SCALE, conditions_in_words
from apps.billing.pricing.model import MAX_TOKENS
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import MAX_NANO_USD, usd_from_nano
from tests.billing import pricing_reference as reference
from tests.billing.pricing_strategies import EXAMPLES, TERMS, TIERS, TIMES, prices, usages

ASKED = st.sampled_from(["", "default", *TIERS])
LIST = Terms()
PLAIN = Price(id=1, model="m", input=1_000_000, output=2_000_000)
OFF_PEAK_S = 17 * 3_600


def with_conditions(**parts) -> Price:
    return msgspec.structs.replace(PLAIN, conditions=Conditions(**parts))


@EXAMPLES
@given(usages(), prices(), TERMS, ASKED, TIMES)
def test_a_bill_is_what_the_reference_says(usage, price, terms, tier, at_s):
    assert valid_usage(usage)
    assert bill(usage, price, terms, tier, at_s) == reference.bill(usage, price, terms, tier, at_s)


@EXAMPLES
@given(usages(), prices(), TERMS, ASKED, TIMES)
def test_the_formula_trace_sums_to_the_bill_exactly(usage, price, terms, tier, at_s):
    owed = bill(usage, price, terms, tier, at_s)
    lines = explain(usage, price, terms, tier, at_s)
    for side, nano in (("cost", owed.cost_nano), ("charge", owed.charged_nano)):
        of_side = [line for line in lines if line.side == side]
        assert sum(line.exact for line in of_side) == nano * SCALE
        assert all(abs(line.exact) < SCALE for line in of_side if line.kind == "rounding")


@EXAMPLES
@given(usages(), prices(), TERMS, st.tuples(ASKED, TIMES), st.integers(0, 400))
def test_no_usage_within_the_sizes_is_billed_above_the_worst_case(usage, price, terms, at, more):
    worst = worst_case(
        prompt_tokens=usage.input_tokens + more,
        max_output_tokens=usage.output_tokens + more,
        price=price,
        terms=terms,
        searches=usage.searches,
        images=usage.images + more,
        duration_ms=usage.duration_ms,
    )
    assert 0 <= bill(usage, price, terms, *at).charged_nano <= worst <= MAX_NANO_USD


@pytest.mark.parametrize(("prompt", "nano"), [(9, 9), (10, 10), (11, 44), (21, 189)], ids=str)
def test_the_worst_case_reaches_only_the_bands_that_the_prompt_can(prompt, nano):
    price = with_conditions(
        bands=(Band(10, {"input": 4_000_000}), Band(20, {"input": 9_000_000})),
        windows=(Window(0, 60, factor_ppm=500_000),),
    )
    for _ in range(2):
        worst = worst_case(prompt_tokens=prompt, max_output_tokens=0, price=price, terms=LIST)
        assert worst == nano


@pytest.mark.parametrize(
    ("tokens", "nano"), [(200, 200), (201, 804), (300, 1_200), (301, 2_709)], ids=str
)
def test_above_a_limit_the_whole_prompt_has_the_rates_of_the_band(tokens, nano):
    price = with_conditions(
        bands=(Band(200, {"input": 4_000_000}), Band(300, {"input": 9_000_000}))
    )
    assert bill(Usage(tokens), price, LIST).cost_nano == nano


def test_a_band_leaves_the_rates_that_it_does_not_name():
    price = msgspec.structs.replace(
        with_conditions(bands=(Band(10, {"input": 4_000_000}),)), cached_input=500_000
    )
    assert bill(Usage(20, 5, cached_input_tokens=10), price, LIST).cost_nano == 40 + 5 + 10


def test_cached_tokens_count_for_the_length_of_the_prompt():
    price = with_conditions(bands=(Band(10, {"input": 4_000_000, "cached_input": 3_000_000}),))
    assert bill(Usage(11, 0, cached_input_tokens=10), price, LIST).cost_nano == 4 + 30


@pytest.mark.parametrize(
    ("tier", "nano"),
    [("", 2_000), ("default", 2_000), ("batch", 1_000), ("priority", 3_500), ("new", 2_000)],
)
def test_the_tier_that_served_decides(tier, nano):
    tiers = {
        "batch": ServiceTier(factor_ppm=500_000),
        "priority": ServiceTier(rates={"input": 3_500_000}),
    }
    price = with_conditions(service_tiers=tiers)
    price = msgspec.structs.replace(price, input=2_000_000)
    assert bill(Usage(1_000), price, LIST, tier).cost_nano == nano


def test_a_tier_may_have_bands_of_its_own():
    tier = ServiceTier(rates={"input": 2_000_000}, bands=(Band(10, {"input": 5_000_000}),))
    price = with_conditions(
        bands=(Band(10, {"input": 3_000_000}),), service_tiers={"priority": tier}
    )
    sizes = [(10, "", 10), (11, "", 33), (10, "priority", 20), (11, "priority", 55)]
    assert [bill(Usage(n), price, LIST, t).cost_nano for n, t, _ in sizes] == [
        nano for _, _, nano in sizes
    ]


def test_a_factor_is_on_tokens_and_not_on_searches():
    price = with_conditions(service_tiers={"batch": ServiceTier(factor_ppm=500_000)})
    price = msgspec.structs.replace(price, per_search=10_000_000, per_request=7)
    assert bill(Usage(1_000, searches=2), price, LIST, "batch").cost_nano == 500 + 20_000_007


@pytest.mark.parametrize(
    ("at", "nano"),
    [("16:29", 1_000), ("16:30", 250), ("23:59", 250), ("00:00", 250), ("00:29", 250),
     ("00:30", 1_000)],
)  # fmt: skip
def test_a_window_over_midnight_ends_before_its_end(at, nano):
    price = with_conditions(windows=(Window(16 * 60 + 30, 30, factor_ppm=250_000),))
    hour, minute = map(int, at.split(":"))
    day_s = 20_000 * 86_400
    at_s = day_s + hour * 3_600 + minute * 60
    assert bill(Usage(1_000), price, LIST, at_s=at_s).cost_nano == nano
    assert bill(Usage(1_000), price, LIST, at_s=at_s + 59.999).cost_nano == nano


def test_factors_of_a_tier_and_a_window_multiply_exactly():
    price = with_conditions(
        service_tiers={"batch": ServiceTier(factor_ppm=333_333)},
        windows=(Window(0, 60, factor_ppm=333_333),),
    )
    usage = Usage(input_tokens=10**12)
    assert bill(usage, price, LIST, "batch").cost_nano == 111_110_888_889


def test_pieces_and_seconds_are_billed_each():
    price = Price(
        id=1, model="m", input=0, output=0, per_second=100_000, per_image=40_000_000,
        per_search=10_000_000,
    )  # fmt: skip
    usage = Usage(images=3, searches=2, duration_ms=1_500)
    assert bill(usage, price, LIST).cost_nano == 120_000_000 + 20_000_000 + 150_000


def test_a_fixed_price_replaces_the_mark_up_and_leaves_the_cost():
    fixed = Price(id=0, model="m", input=5_000_000, output=0)
    terms = Terms(1, 500_000, overrides={"m": fixed})
    assert bill(Usage(100, 50), PLAIN, terms) == Bill(200, 500)
    other = msgspec.structs.replace(PLAIN, model="other")
    assert bill(Usage(100, 50), other, terms) == Bill(200, 300)


def test_a_request_is_charged_the_minimum_and_the_cost_stays():
    terms = Terms(1, 0, minimum_nano=1_000)
    assert bill(Usage(100, 0), PLAIN, terms) == Bill(100, 1_000)
    assert bill(Usage(2_000, 0), PLAIN, terms) == Bill(2_000, 2_000)


def test_a_trace_reads_like_the_price_page():
    price = msgspec.structs.replace(
        with_conditions(
            bands=(Band(10, {"input": 3_000_000}),),
            service_tiers={"batch": ServiceTier(factor_ppm=500_000)},
        ),
        per_search=5,
    )
    usage = Usage(21, 4, cached_input_tokens=1, searches=2)
    terms = Terms(1, 100_000, minimum_nano=50)
    lines = explain(usage, price, terms, "batch")
    assert [(x.side, x.kind, x.quantity, x.rate_nano, x.factor_ppm) for x in lines[:4]] == [
        ("cost", "input", 20, 3_000_000, 500_000),
        ("cost", "cached_input", 1, 3_000_000, 500_000),
        ("cost", "output", 4, 2_000_000, 500_000),
        ("cost", "per_search", 2, 5, 1_000_000),
    ]
    assert [(x.kind, x.usd) for x in lines[4:]] == [
        ("rounding", usd_from_nano(1) / 2),
        ("cost", usd_from_nano(455).scaleb(-1)),
        ("markup", usd_from_nano(455).scaleb(-2)),
        ("rounding", usd_from_nano(-5).scaleb(-2)),
    ]
    assert conditions_in_words(usage, price, "batch", 0) == [
        "prompt above 10 tokens",
        "service tier batch",
    ]


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=5, image_input_tokens=6),
        Usage(input_tokens=5, image_input_tokens=-1),
        Usage(input_tokens=5, image_input_tokens=3, audio_input_tokens=3),
        Usage(output_tokens=5, image_output_tokens=6),
        Usage(output_tokens=5, image_output_tokens=-1, reasoning_tokens=1),
        Usage(images=-1),
        Usage(images=MAX_TOKENS + 1),
        Usage(duration_ms=-1),
        Usage(duration_ms=MAX_TOKENS + 1),
        Usage(searches=-1),
        Usage(searches=MAX_TOKENS + 1),
    ],
)
def test_absurd_counts_are_not_valid(usage):
    assert not valid_usage(usage)


@pytest.mark.parametrize(
    "parts",
    [
        {"bands": [{"above": 0, "rates": {"input": 1}}]},
        {"bands": [{"above": 5, "rates": {}}]},
        {"bands": [{"above": 5, "rates": {"input": -1}}]},
        {"bands": [{"above": 5, "rates": {"input": 2**63}}]},
        {"bands": [{"above": 5, "rates": {"input": 1.5}}]},
        {"bands": [{"above": 5, "rates": {"input": float("nan")}}]},
        {"bands": [{"above": 5, "rates": {"inputs": 1}}]},
        {"bands": [{"above": 9, "rates": {"input": 1}}, {"above": 5, "rates": {"input": 1}}]},
        {"bands": [{"above": 5, "rates": {"input": 1}}, {"above": 5, "rates": {"input": 1}}]},
        {"service_tiers": {"Priority!": {}}},
        {"service_tiers": {"batch": {"factor_ppm": -1}}},
        {"service_tiers": {"batch": {"factor_ppm": 10**10}}},
        {"service_tiers": {"batch": {"factor": 1}}},
        {"windows": [{"start": 5, "end": 5}]},
        {"windows": [{"start": -1, "end": 5}]},
        {"windows": [{"start": 0, "end": 1_440}]},
        {"windows": [{"start": 0, "end": 61}, {"start": 60, "end": 90}]},
        {"windows": [{"start": 1_400, "end": 61}, {"start": 60, "end": 90}]},
        {"surprise": 1},
    ],
    ids=lambda parts: str(parts)[:70],
)
def test_conditions_that_make_no_sense_are_refused(parts):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(parts, Conditions)
