"""Gemini's usageMetadata as OpenAI counts (ai.google.dev/api/generate-content#UsageMetadata)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from apps.providers.adapters.contract import Usage
from apps.providers.adapters.counts import Count, tier_name

_TIERS: Final = {
    "traffic_type_unspecified": "",
    "on_demand": "standard",
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
}


class Found(msgspec.Struct, frozen=True):
    """What an answer shows besides its counts."""

    has_searched: bool = False  # Google searched the web or its maps
    searches: int = 0  # what it asked of the web
    images: int = 0  # pictures in the answer


NOTHING: Final = Found()


class _Share(msgspec.Struct):
    modality: str = ""
    token_count: Count | None = msgspec.field(default=None, name="tokenCount")


class _Metadata(msgspec.Struct, rename="camel"):
    prompt_token_count: Count = 0
    candidates_token_count: Count = 0
    thoughts_token_count: Count = 0
    tool_use_prompt_token_count: Count = 0
    cached_content_token_count: Count = 0
    total_token_count: Count | None = None
    prompt_tokens_details: list[_Share] = []
    candidates_tokens_details: list[_Share] = []


def read_usage(told: Any, found: Found = NOTHING) -> Usage | None:
    """None for what is absent or not valid.

    Thoughts are output; candidates hold them already where the total says so. What Google's own
    tools read is input, but for its search, whose findings are not billed as tokens.
    """
    if not isinstance(told, dict) or "promptTokenCount" not in told:
        return None
    try:
        usage = msgspec.convert(
            {name: value for name, value in told.items() if value is not None}, _Metadata
        )
    except msgspec.ValidationError:
        return None
    asked = usage.prompt_token_count + usage.tool_use_prompt_token_count
    output = usage.candidates_token_count
    if asked + output != usage.total_token_count:
        output += usage.thoughts_token_count
    reasoning = min(usage.thoughts_token_count, output)
    if found.has_searched:
        asked = usage.prompt_token_count
    heard = min(_share(usage.prompt_tokens_details, "AUDIO"), asked)
    spoken = min(_share(usage.candidates_tokens_details, "AUDIO"), output - reasoning)
    seen = _share(usage.prompt_tokens_details, "IMAGE")
    drawn = _share(usage.candidates_tokens_details, "IMAGE")
    return Usage(
        input_tokens=asked,
        output_tokens=output,
        cached_input_tokens=min(usage.cached_content_token_count, asked),
        reasoning_tokens=reasoning,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
        image_input_tokens=min(seen, asked - heard),
        image_output_tokens=min(drawn, output - reasoning - spoken),
        images=found.images,
        searches=found.searches,
    )


def service_tier(told: Any) -> str:
    """The tier that served it, where Google says so; `trafficType` is Vertex's word for it."""
    if not isinstance(told, dict):
        return ""
    name = tier_name(told.get("serviceTier")) or tier_name(told.get("trafficType"))
    return _TIERS.get(name, name)


def _share(shares: list[_Share], modality: str) -> int:
    return sum(share.token_count or 0 for share in shares if share.modality == modality)
