"""What typical requests cost by a price, in words, by the function that bills."""

from __future__ import annotations

from typing import Final, NamedTuple

from apps.billing import pricing
from apps.billing.pricing.explain import clock_text
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import format_usd

PROMPT: Final = 10_000
ANSWER: Final = 1_000
CACHED: Final = 8_000
_LIST: Final = pricing.Terms()


class NotYet(Exception):
    """Why there is no example: what was typed is no price."""


class Example(NamedTuple):
    what: str
    amount: str


def of_price(price: pricing.Price, terms: pricing.Terms = _LIST) -> list[Example]:
    """A plain request, and one for each thing that makes it cost something else."""
    usage = Usage(PROMPT, ANSWER)
    found = [_example(f"{PROMPT:,} prompt tokens and {ANSWER:,} of answer", usage, price, terms)]
    if price.cached_input is not None:
        cached = Usage(PROMPT, ANSWER, cached_input_tokens=CACHED)
        found.append(_example(f"… {CACHED:,} of them from the cache", cached, price, terms))
    if price.reasoning is not None:
        thought = Usage(PROMPT, ANSWER, reasoning_tokens=ANSWER)
        found.append(_example("… an answer of reasoning alone", thought, price, terms))
    pieces = (
        (price.per_search, "… and one web search", Usage(PROMPT, ANSWER, searches=1)),
        (price.per_image, "One image", Usage(images=1)),
        (price.per_second, "One minute of audio or video", Usage(duration_ms=60_000)),
    )
    found += [_example(what, each, price, terms) for rate, what, each in pieces if rate]
    return found + _of_conditions(price, terms)


def of_terms(price: pricing.Price, terms: pricing.Terms) -> Example:
    """What a client is charged for a request of 1,000 and 500 tokens, beside its cost."""
    bill = pricing.bill(Usage(1_000, 500), price, terms)
    return Example(
        f"1,000 prompt tokens and 500 of answer by {price.model} cost {format_usd(bill.cost_nano)}",
        f"{format_usd(bill.charged_nano)} charged",
    )


def _of_conditions(price: pricing.Price, terms: pricing.Terms) -> list[Example]:
    conditions = price.conditions
    if conditions is None:
        return []
    found = []
    usage = Usage(PROMPT, ANSWER)
    for band in conditions.bands:
        longer = Usage(band.above + 1, ANSWER)
        what = f"{band.above + 1:,} prompt tokens and {ANSWER:,} of answer"
        found.append(_example(what, longer, price, terms))
    for name, tier in conditions.service_tiers.items():
        found.append(_example(f"… served as {name}", usage, price, terms, name))
        for band in tier.bands:
            what = f"{band.above + 1:,} prompt tokens, served as {name}"
            found.append(_example(what, Usage(band.above + 1, ANSWER), price, terms, name))
    for window in conditions.windows:
        hours = f"{clock_text(window.start)} to {clock_text(window.end)} UTC"
        found.append(
            _example(f"… from {hours}", usage, price, terms, at_s=float(window.start * 60))
        )
    return found


def _example(
    what: str,
    usage: Usage,
    price: pricing.Price,
    terms: pricing.Terms,
    tier: str = "",
    *,
    at_s: float | None = None,
) -> Example:
    at_s = _outside(price) if at_s is None else at_s
    return Example(what, format_usd(pricing.bill(usage, price, terms, tier, at_s).charged_nano))


def _outside(price: pricing.Price) -> float:
    """A time of day without a window, where there is one."""
    windows = price.conditions.windows if price.conditions else ()
    free = (m for m in range(1_440) if not any(window.holds(m) for window in windows))
    return float(next(free, 0) * 60)
