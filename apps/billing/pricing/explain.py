"""The formula trace of a bill: the same sums, line by line."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final, Literal

import msgspec

from apps.billing.pricing.bill import (
    FACTORS,
    Part,
    bill,
    input_parts,
    output_parts,
    rates_of,
)
from apps.billing.pricing.model import PPM, Bill, Price, Terms
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import TOKENS_PER_PRICE

SCALE: Final = TOKENS_PER_PRICE * FACTORS * PPM
"""`exact` of a line is in nano-USD ÷ SCALE, which holds every product of a bill without rest."""
_PLACES: Final = 24 + 9  # SCALE, and nano-USD
_EXACTLY: Final = Context(prec=100)

WORDS: Final = {
    "input": "Prompt",
    "cached_input": "Read from the cache",
    "cache_write": "Written to the cache",
    "cache_write_1h": "Written to the cache for an hour",
    "audio_input": "Audio in",
    "image_input": "Images in",
    "output": "Answer",
    "reasoning": "Reasoning",
    "audio_output": "Audio out",
    "image_output": "Images out",
    "per_request": "Per request",
    "per_second": "Per second",
    "per_image": "Per image",
    "per_search": "Per search",
}


class Line(msgspec.Struct, frozen=True):
    """quantity × rate ÷ per × factor = amount. Lines of `cost` sum to the bill's cost, those of
    `charge` to what is charged; both to the nano-USD."""

    side: Literal["cost", "charge"]
    kind: str  # the name of a rate, or cost, markup, minimum, rounding, cap
    what: str
    exact: int  # nano-USD ÷ SCALE
    quantity: int = 0
    rate_nano: int = 0
    per: int = 1  # how much one rate is for: tokens, milliseconds or pieces
    factor_ppm: int = PPM  # parts per million; of factors that multiply, rounded

    @property
    def usd(self) -> Decimal:
        """The amount of this line, exact."""
        return Decimal(self.exact).scaleb(-_PLACES, _EXACTLY)


def explain(
    usage: Usage, price: Price, terms: Terms, service_tier: str = "", at_s: float = 0
) -> list[Line]:
    """How `bill` of the same came about."""
    owed = bill(usage, price, terms, service_tier, at_s)
    cost = _items("cost", usage, price, service_tier, at_s)
    exact = sum(line.exact for line in cost)
    cost += _closing("cost", exact, owed.cost_nano)
    return cost + _charge(exact, owed, usage, price, terms, at=(service_tier, at_s))


def conditions_in_words(usage: Usage, price: Price, service_tier: str, at_s: float) -> list[str]:
    """Which of a price's conditions a request met."""
    found: list[str] = []
    conditions = price.conditions
    if conditions is None:
        return found
    reached = [band for band in conditions.bands if usage.input_tokens > band.above]
    if reached:
        found.append(f"prompt above {reached[-1].above:,} tokens")
    tier = conditions.service_tiers.get(service_tier)
    if tier is not None:
        found.append(f"service tier {service_tier}")
        above = [band for band in tier.bands if usage.input_tokens > band.above]
        found += [f"its prices above {above[-1].above:,} tokens"] if above else []
    minute = int(at_s) // 60 % 1_440
    for window in conditions.windows:
        if window.holds(minute):
            found.append(f"{clock_text(window.start)}–{clock_text(window.end)} UTC")
    return found


def clock_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _charge(
    exact: int, owed: Bill, usage: Usage, price: Price, terms: Terms, *, at: tuple[str, float]
) -> list[Line]:
    fixed = terms.overrides.get(price.model)
    if fixed is not None:
        lines = _items("charge", usage, fixed, *at)
    else:
        lines = [Line("charge", "cost", "Cost, unrounded", exact)]
        if terms.markup_ppm:
            word = "Mark-up" if terms.markup_ppm > 0 else "Discount"
            # exact is a multiple of PPM: bills without a mark-up have no such digits
            added = exact // PPM * terms.markup_ppm
            lines.append(Line("charge", "markup", word, added, factor_ppm=terms.markup_ppm))
    total = sum(line.exact for line in lines)
    without = bill(usage, price, msgspec.structs.replace(terms, minimum_nano=0), *at)
    lines += _closing("charge", total, without.charged_nano)
    if lacking := owed.charged_nano - without.charged_nano:
        word = "Up to the least that a request is charged"
        lines.append(Line("charge", "minimum", word, lacking * SCALE))
    return lines


def _items(
    side: Literal["cost", "charge"], usage: Usage, price: Price, service_tier: str, at_s: float
) -> list[Line]:
    rates, factor = rates_of(price, usage.input_tokens, service_tier, at_s)
    parts = [*_split(input_parts(usage, rates)), *_split(output_parts(usage, rates))]
    lines = [
        Line(
            side, name, WORDS[name], tokens * rate * factor * PPM,
            tokens, rate, TOKENS_PER_PRICE, factor // PPM,
        )
        for name, tokens, rate in parts
    ]  # fmt: skip
    pieces = (
        ("per_request", 1, rates.per_request, 1),
        ("per_image", usage.images, rates.per_image, 1),
        ("per_search", usage.searches, rates.per_search, 1),
        ("per_second", usage.duration_ms, rates.per_second, 1_000),
    )
    return lines + [
        Line(side, name, WORDS[name], count * rate * (SCALE // per), count, rate, per)
        for name, count, rate, per in pieces
        if count and rate
    ]


def _split(parts: tuple[Part, ...]) -> list[Part]:
    """Each token in one class, as `bill` takes them; classes without tokens are left out."""
    whole, left, plain_rate = parts[0]
    taken: list[Part] = []
    for name, tokens, rate in parts[1:]:
        count = min(tokens, left)
        left -= count
        taken.append((name, count, rate))
    return [part for part in ((whole, left, plain_rate), *taken) if part[1]]


def _closing(side: Literal["cost", "charge"], exact: int, nano: int) -> list[Line]:
    """What brings an exact sum to what is booked."""
    rest = nano * SCALE - exact
    if not rest:
        return []
    if abs(rest) > SCALE:
        return [Line(side, "cap", "Beyond what can be booked", rest)]
    return [Line(side, "rounding", "Rounding, half up", rest)]
