"""What the price file says beyond the plain rates of a model: more classes of tokens, rates above a
length of the prompt, rates by service tier. Names are those of our prices; USD per 1 M tokens.

The file writes a condition behind the name of a rate, as in
`input_cost_per_token_above_272k_tokens_batches`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

_MILLION: Final = 1_000_000
_RATES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
}
_MORE: Final = ("reasoning", "audio_input", "audio_output", "image_input", "image_output")
_OUTPUT: Final = ("output", "reasoning", "audio_output", "image_output")
_TIERS: Final = {"batches": "batch", "flex": "flex", "priority": "priority"}
_KEY: Final = re.compile(
    rf"^({'|'.join(sorted(_RATES, key=len, reverse=True))})"
    rf"(?:_above_(\d+)k_tokens)?(?:_({'|'.join(_TIERS)}))?$"
)
_SEARCH: Final = "search_context_cost_per_query"
_USUAL: Final = "search_context_size_medium"

Card = dict[str, Decimal]
Bands = dict[int, Card]


class ListConditions(msgspec.Struct, frozen=True):
    """`more`: rates of other classes, and `per_search` in USD each. Bands by their limit."""

    more: Card = {}
    bands: Bands = {}
    tiers: dict[str, Card] = {}
    tier_bands: dict[str, Bands] = {}


def read(entry: Mapping[str, Any]) -> ListConditions:
    """From one model's entry in the price file."""
    cards: dict[tuple[str, int], Card] = defaultdict(dict)
    for key, value in entry.items():
        match = _KEY.match(key)
        if match is None or not isinstance(value, Decimal | int) or isinstance(value, bool):
            continue
        limit = int(match[2]) * 1_000 if match[2] else 0
        cards[_TIERS.get(match[3] or "", ""), limit][_RATES[match[1]]] = value * Decimal(_MILLION)
    plain = cards.pop(("", 0), {})
    for card in cards.values():
        _fill(card, plain)
    more: Card = {
        name: plain[name]
        for name in _MORE
        if name in plain and plain[name] != plain.get(_side(name))
    }
    searches = entry.get(_SEARCH)
    if isinstance(searches, Mapping) and isinstance(searches.get(_USUAL), Decimal):
        more["per_search"] = searches[_USUAL]
    bands = {limit: card for (tier, limit), card in sorted(cards.items()) if not tier}
    tiers = {tier: card for (tier, limit), card in sorted(cards.items()) if tier and not limit}
    tier_bands = {tier: _bands_of(tier, card, plain, cards) for tier, card in tiers.items()}
    return ListConditions(more, bands, tiers, tier_bands)


def _fill(card: Card, plain: Card) -> None:
    """What the file does not name under a condition follows its side, as provider's pages say: a
    batch is half of everything, a longer prompt makes cache writes dearer as well."""
    for name in plain:
        side = _side(name)
        if name not in card and side in card and plain.get(side):
            card[name] = plain[name] * card[side] / plain[side]


def _side(name: str) -> str:
    return "output" if name in _OUTPUT else "input"


def _bands_of(tier: str, card: Card, plain: Card, cards: Mapping[tuple[str, int], Card]) -> Bands:
    """A tier's own bands; where the file has none, the model's in the tier's proportion, so that a
    long prompt is not billed in the tier as a short one."""
    own = {limit: rates for (name, limit), rates in sorted(cards.items()) if name == tier and limit}
    if own:
        return own
    return {
        limit: {
            name: rates[name] * card[name] / plain[name]
            for name in rates
            if name in card and plain.get(name)
        }
        for (name, limit), rates in sorted(cards.items())
        if not name and limit
    }
