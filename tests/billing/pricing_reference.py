"""An independent reading of the price rules, in fractions: slow, short and plain."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from apps.billing.pricing import Bill, Price, Terms
from apps.providers.adapters.contract import Usage

MOST = 2**63 - 1
FALLS_BACK = {
    "cached_input": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
PARTS = {
    "input": ("cached_input", "cache_write", "cache_write_1h", "audio_input", "image_input"),
    "output": ("reasoning", "audio_output", "image_output"),
}


def card_of(price: Price, prompt: int, tier: str, at_s: float) -> tuple[dict[str, int], Fraction]:
    """All rates in force, and the factor on those of tokens."""
    names = (
        *FALLS_BACK, "input", "output", "per_request", "per_second", "per_image", "per_search",
    )  # fmt: skip
    card = {name: getattr(price, name) for name in names}
    factor = Fraction(1)
    if price.conditions is not None:
        conditions = price.conditions
        layers = [band.rates for band in conditions.bands if prompt > band.above][-1:]
        if tier in conditions.service_tiers:
            served = conditions.service_tiers[tier]
            factor *= Fraction(served.factor_ppm, 10**6)
            layers.append(served.rates)
            layers += [band.rates for band in served.bands if prompt > band.above][-1:]
        minute = (int(at_s) // 60) % (24 * 60)
        for window in conditions.windows:
            length = (window.end - window.start) % (24 * 60)
            if (minute - window.start) % (24 * 60) < length:
                factor *= Fraction(window.factor_ppm, 10**6)
                layers.append(window.rates)
        for layer in layers:
            card.update(layer)
    for name in ("cached_input", "cache_write", *FALLS_BACK):  # a write before the hour's write
        if card[name] is None:
            card[name] = card[FALLS_BACK[name]]
    return card, factor


def exact(usage: Usage, price: Price, tier: str = "", at_s: float = 0) -> Fraction:
    """Nano-USD, unrounded."""
    card, factor = card_of(price, usage.input_tokens, tier, at_s)
    total = Fraction(0)
    for side, parts in PARTS.items():
        left = getattr(usage, f"{side}_tokens")
        for name in parts:
            tokens = usage.cache_write_1h_tokens if name == "cache_write_1h" else None
            if tokens is None:
                tokens = getattr(usage, f"{name}_tokens")
            tokens = min(tokens, left)
            left -= tokens
            total += Fraction(tokens * card[name], 10**6)
        total += Fraction(left * card[side], 10**6)
    return (
        total * factor
        + card["per_request"]
        + usage.images * card["per_image"]
        + usage.searches * card["per_search"]
        + Fraction(usage.duration_ms, 1000) * card["per_second"]
    )


def booked(amount: Fraction) -> int:
    return min(floor(amount + Fraction(1, 2)), MOST)


def bill(usage: Usage, price: Price, terms: Terms, tier: str = "", at_s: float = 0) -> Bill:
    cost = exact(usage, price, tier, at_s)
    if price.model in terms.overrides:
        charged = exact(usage, terms.overrides[price.model], tier, at_s)
    else:
        charged = cost * (1 + Fraction(terms.markup_ppm, 10**6))
    return Bill(booked(cost), max(booked(charged), terms.minimum_nano))
