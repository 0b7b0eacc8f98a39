"""Prices, terms and usages of every shape, for property tests."""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis import strategies as st

from apps.billing.pricing import Band, Conditions, Price, ServiceTier, Terms, Window
from apps.billing.pricing.model import MAX_TOKENS, RATE_NAMES
from apps.providers.adapters.contract import Usage

EXAMPLES = settings(max_examples=int(os.environ.get("PRICE_EXAMPLES", "60")), deadline=None)
TIERS = ("priority", "flex", "batch")
RATES = st.one_of(st.integers(0, 10**6), st.integers(0, 10**12), st.just(2**63 - 1))
CARDS = st.dictionaries(st.sampled_from(RATE_NAMES), RATES, min_size=1, max_size=5)
LIMITS = st.one_of(st.integers(1, 200), st.integers(1, MAX_TOKENS))
FACTORS = st.one_of(st.sampled_from([500_000, 1_000_000, 2_000_000]), st.integers(0, 10**9))


@st.composite
def bands(draw: st.DrawFn) -> tuple[Band, ...]:
    limits = draw(st.lists(LIMITS, max_size=3, unique=True).map(sorted))
    return tuple(Band(above, draw(CARDS)) for above in limits)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, ...]:
    """At most two, side by side and anywhere, so that one may pass midnight."""
    edges = draw(st.lists(st.integers(0, 1_439), min_size=3, max_size=3, unique=True).map(sorted))
    turn = draw(st.integers(0, 1_439))
    a, b, c = ((edge + turn) % 1_440 for edge in edges)
    made = [
        Window(start, end, draw(FACTORS), draw(st.just({}) | CARDS))
        for start, end in ((a, b), (b, c))
    ]
    return tuple(made[: draw(st.integers(0, 2))])


SERVED = st.builds(
    ServiceTier, factor_ppm=FACTORS, rates=st.just({}) | CARDS, bands=st.just(()) | bands()
)
CONDITIONS = st.builds(
    Conditions,
    bands=bands(),
    service_tiers=st.dictionaries(st.sampled_from(TIERS), SERVED, max_size=3),
    windows=windows(),
)
_OPTIONAL = st.none() | RATES


def prices() -> st.SearchStrategy[Price]:
    named = {
        name: _OPTIONAL
        for name in RATE_NAMES
        if name not in ("input", "output") and not name.startswith("per_")
    }
    each = {name: st.just(0) | RATES for name in RATE_NAMES if name.startswith("per_")}
    return st.builds(
        Price, id=st.just(1), model=st.sampled_from(["m", "n"]), input=RATES, output=RATES,
        conditions=st.none() | CONDITIONS, **named, **each,
    )  # fmt: skip


TERMS = st.builds(
    Terms,
    tier_id=st.just(1),
    markup_ppm=st.just(0) | st.integers(-1_000_000, 10_000_000),
    terms_id=st.just(1),
    minimum_nano=st.just(0) | st.integers(0, 10**10),
    overrides=st.just({}) | st.dictionaries(st.just("m"), prices(), max_size=1),
)
WHOLE = st.one_of(st.integers(0, 400), st.integers(0, MAX_TOKENS))
PIECES = st.just(0) | st.integers(0, 10**6)
TIMES = st.integers(0, 2**33) | st.floats(0, 2**33)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any usage that `valid_usage` lets through, cached audio included."""
    prompt, answer = draw(WHOLE), draw(WHOLE)
    cached = draw(st.integers(0, prompt))
    write = draw(st.integers(0, prompt - cached))
    reasoning = draw(st.integers(0, answer))
    audio_out = draw(st.integers(0, answer - reasoning))
    audio_in = draw(st.integers(0, prompt))
    return Usage(
        input_tokens=prompt,
        output_tokens=answer,
        cached_input_tokens=cached,
        cache_write_tokens=write,
        cache_write_1h_tokens=draw(st.integers(0, prompt - cached - write)),
        reasoning_tokens=reasoning,
        audio_input_tokens=audio_in,
        audio_output_tokens=audio_out,
        image_input_tokens=draw(st.integers(0, prompt - audio_in)),
        image_output_tokens=draw(st.integers(0, answer - reasoning - audio_out)),
        images=draw(PIECES),
        duration_ms=draw(PIECES),
        searches=draw(PIECES),
    )
