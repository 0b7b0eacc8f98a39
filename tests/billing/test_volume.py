"""Volume tiers: what a month gives back."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.billing.pricing.volume import Schedule, Step, cost_of, rebate
from apps.providers.adapters.contract import Usage
from tests.billing.pricing_strategies import EXAMPLES, usages

GRADUATED = Schedule("graduated", (Step(1_000, 800_000), Step(3_000, 500_000)))
ALL_UNITS = Schedule("all_units", GRADUATED.steps)
RATES = st.integers(0, 10**12)
STEPS = st.lists(st.integers(1, 10**12), min_size=1, max_size=4, unique=True).map(sorted)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    by_rates = st.fixed_dictionaries(
        {"input": RATES, "output": RATES}, optional={"cached_input": RATES, "reasoning": RATES}
    )
    steps = [
        Step(above, rates=draw(by_rates))
        if draw(st.booleans())
        else Step(above, draw(st.integers(0, 1_000_000)))
        for above in draw(STEPS)
    ]
    return Schedule(draw(st.sampled_from(["graduated", "all_units"])), tuple(steps))


def at_rates(rates: dict[str, int], usage: Usage) -> Fraction:
    cached, reasoning = usage.cached_input_tokens, usage.reasoning_tokens
    total = cached * rates.get("cached_input", rates["input"])
    total += (usage.input_tokens - cached) * rates["input"]
    total += reasoning * rates.get("reasoning", rates["output"])
    total += (usage.output_tokens - reasoning) * rates["output"]
    return Fraction(total, 10**6)


def reference(schedule: Schedule, usage: Usage, charged: int) -> int:
    """Token by token in fractions: which step one is under, and what it costs there."""
    volume = usage.input_tokens + usage.output_tokens
    if not volume:
        return charged
    limits = [0, *(step.above for step in schedule.steps), 10**30]
    costs = [Fraction(charged)]
    for step in schedule.steps:
        part = Fraction(charged * step.factor_ppm, 10**6)
        costs.append(at_rates(step.rates, usage) if step.rates else part)
    if schedule.kind == "all_units":
        total = costs[sum(volume > limit for limit in limits[1:])]
    else:
        total = Fraction(0)
        for cost, low, high in zip(costs, limits[:-1], limits[1:], strict=True):
            within = max(0, min(volume, high) - low)
            total += cost * Fraction(within, volume)
    return floor(total + Fraction(1, 2))


@pytest.mark.parametrize(
    ("tokens", "graduated", "all_units"),
    [
        (1_000, 1_000, 1_000),
        (1_001, 1_001, 801),
        (2_000, 1_800, 1_600),
        (3_000, 2_600, 2_400),
        (5_000, 3_600, 2_500),
    ],
    ids=str,
)
def test_a_cent_a_token(tokens, graduated, all_units):
    """At 1 nano-USD a token; 20 % off above 1,000 tokens and 50 % off above 3,000."""
    usage = Usage(input_tokens=tokens)
    assert cost_of(GRADUATED, usage, tokens) == graduated
    assert cost_of(ALL_UNITS, usage, tokens) == all_units


def test_steps_with_rates_take_the_classes_by_their_share_of_the_month():
    step = Step(1_000, rates={"input": 500_000, "output": 2_000_000, "cached_input": 100_000})
    usage = Usage(input_tokens=1_500, cached_input_tokens=500, output_tokens=500)
    whole = 1_000 * 0.5 + 500 * 0.1 + 500 * 2
    assert cost_of(Schedule("all_units", (step,)), usage, 9_000) == whole
    assert cost_of(Schedule("graduated", (step,)), usage, 9_000) == whole / 2 + 9_000 / 2


@EXAMPLES
@given(schedules(), usages(), st.integers(0, 10**18))
def test_a_month_costs_what_the_reference_says(schedule, usage, charged):
    plain = msgspec.structs.replace(
        usage, cache_write_tokens=0, cache_write_1h_tokens=0, audio_input_tokens=0,
        audio_output_tokens=0, image_input_tokens=0, image_output_tokens=0,
    )  # fmt: skip
    assert cost_of(schedule, plain, charged) == reference(schedule, plain, charged)


@EXAMPLES
@given(schedules(), st.lists(st.tuples(usages(), st.integers(0, 10**15)), max_size=8))
def test_the_rebate_is_exact_and_never_takes_more_than_was_charged(schedule, months):
    totals = [(f"hour {n}", usage, charged) for n, (usage, charged) in enumerate(months)]
    deltas = rebate(schedule, totals)
    assert [key for key, _ in deltas] == [key for key, _, _ in totals]
    assert all(
        -charged <= delta <= 0 for (_, delta), (_, _, charged) in zip(deltas, totals, strict=True)
    )
    charged = sum(charged for _, _, charged in totals)
    fields = Usage.__struct_fields__
    month = Usage(**{name: sum(getattr(usage, name) for usage, _ in months) for name in fields})
    assert sum(delta for _, delta in deltas) == min(cost_of(schedule, month, charged) - charged, 0)
    assert rebate(schedule, totals) == deltas


def test_odd_nanos_go_to_the_largest_remainders_and_then_to_the_first():
    half = Schedule("all_units", (Step(1, 500_000),))
    totals = [("a", Usage(10), 5), ("b", Usage(10), 5), ("c", Usage(10), 5), ("d", Usage(0), 0)]
    assert rebate(half, totals) == [("a", -3), ("b", -2), ("c", -2), ("d", 0)]


def test_rates_above_what_was_charged_take_nothing_more():
    dear = Schedule("all_units", (Step(1, rates={"input": 10**12, "output": 10**12}),))
    assert rebate(dear, [("a", Usage(10), 5)]) == [("a", 0)]


def test_nothing_used_gives_nothing_back():
    assert rebate(GRADUATED, []) == []
    assert rebate(GRADUATED, [("a", Usage(), 0)]) == [("a", 0)]


@pytest.mark.parametrize("total", [("a", Usage(5), -1), ("a", Usage(-5), 1)], ids=str)
def test_negative_totals_are_refused(total):
    with pytest.raises(ValueError, match="negative"):
        rebate(GRADUATED, [total])


@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "graduated", "steps": []},
        {"kind": "per unit", "steps": [{"above": 5}]},
        {"kind": "graduated", "steps": [{"above": 5}, {"above": 5}]},
        {"kind": "graduated", "steps": [{"above": 0}]},
        {"kind": "graduated", "steps": [{"above": 5, "factor_ppm": 1_000_001}]},
        {"kind": "graduated", "steps": [{"above": 5, "factor_ppm": -1}]},
        {"kind": "graduated", "steps": [{"above": 5, "rates": {"input": 1}}]},
        {"kind": "graduated", "steps": [{"above": 5, "rates": {"per_image": 1}}]},
        {
            "kind": "graduated",
            "steps": [{"above": 5, "factor_ppm": 5, "rates": {"input": 1, "output": 1}}],
        },
    ],
    ids=str,
)
def test_schedules_that_make_no_sense_are_refused(schedule):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(schedule, Schedule)
