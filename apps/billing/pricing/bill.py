"""The sums of the hot path. An amount is summed exactly and rounded once, half-up, at the end."""

from __future__ import annotations

from typing import Final, cast

import msgspec

from apps.billing.pricing.model import (
    INPUT_RATES,
    MAX_TOKENS,
    OUTPUT_RATES,
    PPM,
    Band,
    Bill,
    Conditions,
    Price,
    RateName,
    Terms,
)
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import MAX_NANO_USD, TOKENS_PER_PRICE

FACTORS: Final = PPM * PPM
"""The factor of a service tier times that of a window, where both are 1."""
_HALF: Final = TOKENS_PER_PRICE // 2
_MS_PER_S: Final = 1_000

_MOST_KNOWN: Final = 4_096
_KNOWN: Final[dict[int, tuple[Price, tuple[_Dearest, ...]]]] = {}
"""What was worked out for a price with conditions, by its identity; the price is kept with it."""

Part = tuple[str, int, int]
"""A class of tokens by its rate's name, how many, and the rate."""


def bill(usage: Usage, price: Price, terms: Terms, service_tier: str = "", at_s: float = 0) -> Bill:
    """The exact bill of one answered request, each amount rounded once.

    A token is billed in one class only. Where parts overlap (OpenAI counts cached audio as
    cached and as audio) the cache classes come first, so the parts never outgrow the whole.
    `service_tier` is what the provider says that it was; one that the price does not name is
    billed at the price's own rates. `at_s` is when the request was admitted. The usage is one
    that `valid_usage` lets through.
    """
    if price.conditions is None:
        exact = _tokens(usage, price) + price.per_request * TOKENS_PER_PRICE
        if usage.searches or usage.images or usage.duration_ms:
            exact += _units(usage, price)
        scale = TOKENS_PER_PRICE
        cost = (exact + _HALF) // TOKENS_PER_PRICE
        cost = cost if cost <= MAX_NANO_USD else MAX_NANO_USD
    else:
        exact = exact_of(usage, price, service_tier, at_s)
        scale = TOKENS_PER_PRICE * FACTORS
        cost = rounded(exact, scale)
    charged = cost
    if terms.overrides and (fixed := terms.overrides.get(price.model)) is not None:
        charged = rounded(exact_of(usage, fixed, service_tier, at_s), TOKENS_PER_PRICE * FACTORS)
    elif terms.markup_ppm:
        charged = rounded(exact * (PPM + terms.markup_ppm), scale * PPM)
    return Bill(cost, charged if charged >= terms.minimum_nano else terms.minimum_nano)


def worst_case(
    *,
    prompt_tokens: int,
    max_output_tokens: int,
    price: Price,
    terms: Terms,
    searches: int = 0,
    images: int = 0,
    duration_ms: int = 0,
) -> int:
    """The most, in charged nano-USD, that a request of these sizes can be billed.

    Never below `bill` of any usage within the sizes, in whatever service tier and at whatever
    time: every token counts as the dearest class of its side. No size is negative.
    """
    markup_ppm = terms.markup_ppm
    if terms.overrides and (fixed := terms.overrides.get(price.model)) is not None:
        price, markup_ppm = fixed, 0
    scale = TOKENS_PER_PRICE
    sizes = None
    if searches or images or duration_ms or price.conditions is not None:
        sizes = Usage(
            prompt_tokens,
            max_output_tokens,
            searches=searches,
            images=images,
            duration_ms=duration_ms,
        )
    if price.conditions is not None and sizes is not None:
        tokens, pieces, factors = _dearest(price, price.conditions, sizes)
        exact = tokens * factors + pieces * FACTORS
        scale *= FACTORS
    else:
        exact = prompt_tokens * _dearest_input(price) + max_output_tokens * _dearest_output(price)
        exact += price.per_request * TOKENS_PER_PRICE
        if sizes is not None:
            exact += _units(sizes, price)
    if markup_ppm:
        exact *= PPM + markup_ppm
        scale *= PPM
    amount = rounded(exact, scale)
    return amount if amount > terms.minimum_nano else terms.minimum_nano


def estimate_prompt_tokens(body_bytes: int) -> int:
    """A cheap guess at the tokens of a JSON body: a third of its bytes and 10 %, rounded up."""
    return (body_bytes * 11 + 29) // 30


def valid_usage(usage: Usage) -> bool:
    """Whether counts make sense: 0 ≤ parts ≤ whole ≤ 2**40.

    Cache reads and writes never overlap; audio and images may overlap with what was cached.
    """
    cached, write, write_1h = (
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
    )
    reasoning, audio_output = usage.reasoning_tokens, usage.audio_output_tokens
    image_output = usage.image_output_tokens
    return (
        cached >= 0
        and write >= 0
        and write_1h >= 0
        and reasoning >= 0
        and audio_output >= 0
        and image_output >= 0
        and cached + write + write_1h <= usage.input_tokens <= MAX_TOKENS
        and usage.audio_input_tokens >= 0
        and usage.image_input_tokens >= 0
        and usage.audio_input_tokens + usage.image_input_tokens <= usage.input_tokens
        and reasoning + audio_output + image_output <= usage.output_tokens <= MAX_TOKENS
        and 0 <= usage.images <= MAX_TOKENS
        and 0 <= usage.duration_ms <= MAX_TOKENS
        and 0 <= usage.searches <= MAX_TOKENS
    )


def exact_of(usage: Usage, price: Price, service_tier: str, at_s: float) -> int:
    """The cost in nano-USD × TOKENS_PER_PRICE × FACTORS, unrounded."""
    rates, factor = rates_of(price, usage.input_tokens, service_tier, at_s)
    flat = rates.per_request * TOKENS_PER_PRICE + _units(usage, rates)
    return _tokens(usage, rates) * factor + flat * FACTORS


def rates_of(price: Price, prompt_tokens: int, service_tier: str, at_s: float) -> tuple[Price, int]:
    """The price with the rates that hold for one request, and the factor on its token rates in
    1 / FACTORS."""
    conditions = price.conditions
    if conditions is None:
        return price, FACTORS
    rates: dict[RateName, int] = dict(_band_rates(conditions.bands, prompt_tokens))
    factor = FACTORS
    tier = conditions.service_tiers.get(service_tier)
    if tier is not None:
        rates.update(tier.rates)
        rates.update(_band_rates(tier.bands, prompt_tokens))
        factor = tier.factor_ppm * PPM
    if conditions.windows:
        minute = int(at_s) // 60 % 1_440
        for window in conditions.windows:
            if window.holds(minute):
                rates.update(window.rates)
                factor = factor * window.factor_ppm // PPM
                break
    if rates:
        price = msgspec.structs.replace(price, **cast("dict[str, int]", rates))
    return price, factor


def rounded(exact: int, scale: int) -> int:
    """exact ÷ scale, half-up, within what can be booked; `exact` is never negative."""
    amount = (2 * exact + scale) // (2 * scale)
    return amount if amount <= MAX_NANO_USD else MAX_NANO_USD


def _band_rates(bands: tuple[Band, ...], prompt_tokens: int) -> dict[RateName, int]:
    """Of the highest band that the prompt reaches."""
    for band in reversed(bands):
        if prompt_tokens > band.above:
            return band.rates
    return {}


def _tokens(usage: Usage, price: Price) -> int:
    """Σ tokens × rate of both sides."""
    prompt = usage.input_tokens
    if (
        usage.cache_write_tokens
        or usage.cache_write_1h_tokens
        or usage.audio_input_tokens
        or usage.image_input_tokens
    ):
        total = token_sum(input_parts(usage, price))
    elif cached := usage.cached_input_tokens:  # the most frequent part alone, without a detour
        cached = cached if cached < prompt else prompt
        rate = price.cached_input
        total = cached * (price.input if rate is None else rate) + (prompt - cached) * price.input
    else:
        total = prompt * price.input
    if usage.reasoning_tokens or usage.audio_output_tokens or usage.image_output_tokens:
        return total + token_sum(output_parts(usage, price))
    return total + usage.output_tokens * price.output


def input_parts(usage: Usage, price: Price) -> tuple[Part, ...]:
    """The prompt's tokens by class; the whole comes first."""
    write_rate = _rate(price.cache_write, price.input)
    return (
        ("input", usage.input_tokens, price.input),
        ("cached_input", usage.cached_input_tokens, _rate(price.cached_input, price.input)),
        ("cache_write", usage.cache_write_tokens, write_rate),
        ("cache_write_1h", usage.cache_write_1h_tokens, _rate(price.cache_write_1h, write_rate)),
        ("audio_input", usage.audio_input_tokens, _rate(price.audio_input, price.input)),
        ("image_input", usage.image_input_tokens, _rate(price.image_input, price.input)),
    )


def output_parts(usage: Usage, price: Price) -> tuple[Part, ...]:
    """The answer's tokens by class; the whole comes first."""
    return (
        ("output", usage.output_tokens, price.output),
        ("reasoning", usage.reasoning_tokens, _rate(price.reasoning, price.output)),
        ("audio_output", usage.audio_output_tokens, _rate(price.audio_output, price.output)),
        ("image_output", usage.image_output_tokens, _rate(price.image_output, price.output)),
    )


def token_sum(parts: tuple[Part, ...]) -> int:
    """Each part at its rate, as far as the whole reaches; the rest at the whole's rate."""
    _, left, plain_rate = parts[0]
    total = 0
    for _, tokens, rate in parts[1:]:
        if tokens:
            taken = tokens if tokens < left else left
            left -= taken
            total += taken * rate
    return total + left * plain_rate


def _rate(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate


def _units(usage: Usage, price: Price) -> int:
    """What is billed by the piece, in nano-USD × TOKENS_PER_PRICE."""
    pieces = usage.images * price.per_image + usage.searches * price.per_search
    seconds = usage.duration_ms * price.per_second * (TOKENS_PER_PRICE // _MS_PER_S)
    return pieces * TOKENS_PER_PRICE + seconds


def _dearest_input(price: Price) -> int:
    """Unrolled: it is asked for every candidate of every request with a budget."""
    dearest = price.input
    if (rate := price.cached_input) is not None and rate > dearest:
        dearest = rate
    if (rate := price.cache_write) is not None and rate > dearest:
        dearest = rate
    if (rate := price.cache_write_1h) is not None and rate > dearest:
        dearest = rate
    if (rate := price.audio_input) is not None and rate > dearest:
        dearest = rate
    if (rate := price.image_input) is not None and rate > dearest:
        dearest = rate
    return dearest


def _dearest_output(price: Price) -> int:
    dearest = price.output
    if (rate := price.reasoning) is not None and rate > dearest:
        dearest = rate
    if (rate := price.audio_output) is not None and rate > dearest:
        dearest = rate
    if (rate := price.image_output) is not None and rate > dearest:
        dearest = rate
    return dearest


class _Dearest(msgspec.Struct, frozen=True):
    """The most that anything can cost in a request whose prompt is longer than `above`."""

    above: int
    input: int
    output: int
    per_request: int
    per_second: int
    per_image: int
    per_search: int
    factors: int


def _dearest(price: Price, conditions: Conditions, sizes: Usage) -> tuple[int, int, int]:
    """Tokens and pieces at the dearest rate of any condition, and the largest factor."""
    known = _KNOWN.get(id(price))
    if known is None or known[0] is not price:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        known = _KNOWN[id(price)] = (price, _work_out(price, conditions))
    for most in known[1]:
        if sizes.input_tokens > most.above:
            break
    pieces = most.per_request + sizes.searches * most.per_search + sizes.images * most.per_image
    seconds = sizes.duration_ms * most.per_second * (TOKENS_PER_PRICE // _MS_PER_S)
    tokens = sizes.input_tokens * most.input + sizes.output_tokens * most.output
    return tokens, pieces * TOKENS_PER_PRICE + seconds, most.factors


def _work_out(price: Price, conditions: Conditions) -> tuple[_Dearest, ...]:
    """For each length at which another band can be reached, the longest first."""
    tiers, windows = conditions.service_tiers.values(), conditions.windows
    bands = [*conditions.bands, *(band for tier in tiers for band in tier.bands)]
    always = [*(tier.rates for tier in tiers), *(window.rates for window in windows)]
    factors = max([PPM, *(tier.factor_ppm for tier in tiers)])
    factors *= max([PPM, *(window.factor_ppm for window in windows)])
    found = []
    for above in sorted({-1, *(band.above for band in bands)}, reverse=True):
        most = {
            "input": _dearest_input(price),
            "output": _dearest_output(price),
            "per_request": price.per_request,
            "per_second": price.per_second,
            "per_image": price.per_image,
            "per_search": price.per_search,
        }
        for card in [*always, *(band.rates for band in bands if band.above <= above)]:
            for name, rate in card.items():
                side = (
                    "input" if name in INPUT_RATES else "output" if name in OUTPUT_RATES else name
                )
                most[side] = max(most[side], rate)
        found.append(_Dearest(above=above, factors=factors, **most))
    return tuple(found)
