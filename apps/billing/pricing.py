"""What a request costs and what its client is charged. Pure integers; no I/O, no ORM.

An amount is summed exactly and rounded once, half-up, at the end.
"""

from __future__ import annotations

import msgspec

from apps.providers.adapters.contract import Usage
from chatvault.lib.money import MAX_NANO_USD, TOKENS_PER_PRICE, divide_half_up

MAX_TOKENS = 2**40
PPM = 1_000_000


class Price(msgspec.Struct, frozen=True):
    """One price version. Rates are nano-USD per 1,000,000 tokens and never negative.

    None means: `cached_input`, `cache_write` and `audio_input` as `input`, `cache_write_1h` as
    `cache_write`, `reasoning` and `audio_output` as `output`.
    """

    id: int
    model: str
    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    per_request: int = 0  # nano-USD
    valid_from_s: int = 0  # seconds since the epoch; half-open
    valid_to_s: int | None = None


class Terms(msgspec.Struct, frozen=True):
    """What a pricing tier puts on top of the cost, in parts per million, from -1,000,000 up."""

    tier_id: int = 0
    markup_ppm: int = 0


class Bill(msgspec.Struct, frozen=True):
    """Nano-USD, each within [0, MAX_NANO_USD]: by the price, and by the client's terms."""

    cost_nano: int
    charged_nano: int


def bill(usage: Usage, price: Price, terms: Terms) -> Bill:
    """The exact bill of one answered request, each amount rounded once.

    A token is billed in one class only. Where parts overlap (OpenAI counts cached audio as
    cached and as audio) the cache classes come first, so the parts never outgrow the whole.
    The usage is one that `valid_usage` lets through.
    """
    exact = _input_sum(usage, price) + _output_sum(usage, price)
    exact += price.per_request * TOKENS_PER_PRICE
    cost = _rounded(exact, 0)
    return Bill(cost, _rounded(exact, terms.markup_ppm) if terms.markup_ppm else cost)


def worst_case(*, prompt_tokens: int, max_output_tokens: int, price: Price, terms: Terms) -> int:
    """The most, in charged nano-USD, that a request of these sizes can be billed.

    Never below `bill` of any usage within the sizes: every token counts as the dearest class
    of its side. Neither size is negative.
    """
    exact = (
        prompt_tokens * _dearest_input(price)
        + max_output_tokens * _dearest_output(price)
        + price.per_request * TOKENS_PER_PRICE
    )
    return _rounded(exact, terms.markup_ppm)


def estimate_prompt_tokens(body_bytes: int) -> int:
    """A cheap guess at the tokens of a JSON body: a third of its bytes and 10 %, rounded up."""
    return (body_bytes * 11 + 29) // 30


def valid_usage(usage: Usage) -> bool:
    """Whether counts make sense: 0 ≤ parts ≤ whole ≤ 2**40.

    Cache reads and writes never overlap; audio may overlap with what was cached.
    """
    cached, write, write_1h = (
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
    )
    reasoning, audio_output = usage.reasoning_tokens, usage.audio_output_tokens
    return (
        cached >= 0
        and write >= 0
        and write_1h >= 0
        and reasoning >= 0
        and audio_output >= 0
        and cached + write + write_1h <= usage.input_tokens <= MAX_TOKENS
        and 0 <= usage.audio_input_tokens <= usage.input_tokens
        and reasoning + audio_output <= usage.output_tokens <= MAX_TOKENS
    )


def _rounded(exact: int, markup_ppm: int) -> int:
    """Nano-USD × 10⁶ to nano-USD, with the mark-up, half-up, within what can be booked."""
    if markup_ppm:
        amount = divide_half_up(exact * (PPM + markup_ppm), TOKENS_PER_PRICE * PPM)
    else:
        amount = divide_half_up(exact, TOKENS_PER_PRICE)
    if 0 <= amount <= MAX_NANO_USD:
        return amount
    return 0 if amount < 0 else MAX_NANO_USD


def _input_sum(usage: Usage, price: Price) -> int:
    """Σ tokens × rate of the prompt."""
    plain = usage.input_tokens
    cached, audio = usage.cached_input_tokens, usage.audio_input_tokens
    write, write_1h = usage.cache_write_tokens, usage.cache_write_1h_tokens
    if not (cached or audio or write or write_1h):
        return plain * price.input
    write_rate = _rate(price.cache_write, price.input)
    return _sum_of_parts(
        plain,
        price.input,
        (
            (cached, _rate(price.cached_input, price.input)),
            (write, write_rate),
            (write_1h, _rate(price.cache_write_1h, write_rate)),
            (audio, _rate(price.audio_input, price.input)),
        ),
    )


def _output_sum(usage: Usage, price: Price) -> int:
    """Σ tokens × rate of the answer."""
    reasoning, audio = usage.reasoning_tokens, usage.audio_output_tokens
    if not (reasoning or audio):
        return usage.output_tokens * price.output
    return _sum_of_parts(
        usage.output_tokens,
        price.output,
        (
            (reasoning, _rate(price.reasoning, price.output)),
            (audio, _rate(price.audio_output, price.output)),
        ),
    )


def _sum_of_parts(whole: int, plain_rate: int, parts: tuple[tuple[int, int], ...]) -> int:
    """Each part at its rate, as far as the whole reaches; the rest at the plain rate."""
    total = 0
    for tokens, rate in parts:
        if tokens:
            taken = tokens if tokens < whole else whole
            whole -= taken
            total += taken * rate
    return total + whole * plain_rate


def _rate(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate


def _dearest_input(price: Price) -> int:
    dearest = price.input
    for rate in (price.cached_input, price.cache_write, price.cache_write_1h, price.audio_input):
        if rate is not None and rate > dearest:
            dearest = rate
    return dearest


def _dearest_output(price: Price) -> int:
    dearest = price.output
    for rate in (price.reasoning, price.audio_output):
        if rate is not None and rate > dearest:
            dearest = rate
    return dearest
