"""Gemini's usageMetadata as OpenAI counts (ai.google.dev/api/generate-content#UsageMetadata)."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.contract import Usage
from apps.providers.adapters.counts import Count


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


def read_usage(told: Any, *, has_searched: bool = False) -> Usage | None:
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
    if has_searched:
        asked = usage.prompt_token_count
    return Usage(
        input_tokens=asked,
        output_tokens=output,
        cached_input_tokens=min(usage.cached_content_token_count, asked),
        reasoning_tokens=reasoning,
        audio_input_tokens=min(_audio(usage.prompt_tokens_details), asked),
        audio_output_tokens=min(_audio(usage.candidates_tokens_details), output - reasoning),
    )


def _audio(shares: list[_Share]) -> int:
    return sum(share.token_count or 0 for share in shares if share.modality == "AUDIO")
