"""Bands, service tiers and more classes in the price file."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from apps.providers.catalog_conditions import ListConditions, read


def entry(**usd: str) -> dict[str, Any]:
    return {name: D(amount) for name, amount in usd.items()} | {"mode": "chat", "max_tokens": 5}


def test_an_entry_with_plain_rates_has_no_conditions():
    plain = entry(input_cost_per_token="1e-06", output_cost_per_token="2e-06")
    assert read(plain) == ListConditions()


def test_more_classes_count_where_they_differ_from_their_side():
    found = read(
        entry(
            input_cost_per_token="1e-06", output_cost_per_token="2e-06",
            input_cost_per_audio_token="4e-06", output_cost_per_reasoning_token="2e-06",
            output_cost_per_image_token="3e-05",
        ) | {"search_context_cost_per_query": {"search_context_size_medium": D("0.01")}}
    )  # fmt: skip
    assert found.more == {"audio_input": 4, "image_output": 30, "per_search": D("0.01")}


def test_a_band_and_a_tier_follow_for_what_they_do_not_name():
    found = read(
        entry(
            input_cost_per_token="2e-06", output_cost_per_token="8e-06",
            cache_creation_input_token_cost_above_1hr="4e-06",
            input_cost_per_token_above_200k_tokens="4e-06",
            output_cost_per_token_above_200k_tokens="12e-06",
            input_cost_per_token_batches="1e-06", output_cost_per_token_batches="4e-06",
        )
    )  # fmt: skip
    assert found.bands == {200_000: {"input": 4, "output": 12, "cache_write_1h": 8}}
    assert found.tiers == {"batch": {"input": 1, "output": 4, "cache_write_1h": 2}}
    assert found.tier_bands == {"batch": {200_000: {"input": 2, "output": 6, "cache_write_1h": 4}}}


def test_a_tiers_own_band_comes_before_the_proportion():
    found = read(
        entry(
            input_cost_per_token="2e-06", output_cost_per_token="8e-06",
            input_cost_per_token_above_272k_tokens="4e-06",
            output_cost_per_token_above_272k_tokens="12e-06",
            input_cost_per_token_priority="4e-06", output_cost_per_token_priority="16e-06",
            input_cost_per_token_above_272k_tokens_priority="7e-06",
            output_cost_per_token_above_272k_tokens_priority="20e-06",
        )
    )  # fmt: skip
    assert found.tier_bands == {"priority": {272_000: {"input": 7, "output": 20}}}


def test_what_is_no_number_is_left_out():
    odd = {"input_cost_per_token": "free", "output_cost_per_token_flex": None, "tiered": [1]}
    assert read(odd) == ListConditions()
