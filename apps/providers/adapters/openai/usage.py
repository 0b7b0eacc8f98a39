"""OpenAI's `usage` object as counts (platform.openai.com/docs/api-reference/chat/object)."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.contract import Usage
from apps.providers.adapters.counts import Count


class _InputDetails(msgspec.Struct):
    cached_tokens: Count | None = None
    audio_tokens: Count | None = None
    cache_write_tokens: Count | None = None  # OpenRouter
    image_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class _ServerTools(msgspec.Struct):
    web_search_requests: Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: Count
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: Count | None = None  # DeepSeek
    num_cached_tokens: Count | None = None  # Mistral
    cached_tokens: Count | None = None  # Together
    cache_creation_input_tokens: Count | None = None  # gateways in front of Anthropic
    server_tool_use: _ServerTools | None = None  # OpenRouter
    num_search_queries: Count | None = None  # Perplexity
    num_sources_used: Count | None = None  # xAI bills each source that a search found
    prompt_audio_seconds: Any = None  # Mistral; an empty object where there was no audio


_decode = msgspec.json.Decoder(_Usage).decode
_NO_INPUT = _InputDetails()
_NO_OUTPUT = _OutputDetails()


def read_usage(raw: msgspec.Raw | bytes) -> Usage | None:
    """None for what is absent or not valid: a wrong count is worse than an estimate."""
    if not raw or bytes(raw) == b"null":
        return None
    try:
        told = _decode(raw)
    except msgspec.DecodeError:
        return None
    of_input = told.prompt_tokens_details or _NO_INPUT
    of_output = told.completion_tokens_details or _NO_OUTPUT
    output = _output_tokens(told, of_output)
    cached = (
        of_input.cached_tokens
        or told.prompt_cache_hit_tokens
        or told.num_cached_tokens
        or told.cached_tokens
        or 0
    )
    written = of_input.cache_write_tokens or told.cache_creation_input_tokens or 0
    cached = min(cached, told.prompt_tokens)
    reasoning = min(of_output.reasoning_tokens or 0, output)
    heard = min(of_input.audio_tokens or 0, told.prompt_tokens)
    spoken = min(of_output.audio_tokens or 0, output - reasoning)
    return Usage(
        input_tokens=told.prompt_tokens,
        output_tokens=output,
        cached_input_tokens=cached,
        cache_write_tokens=min(written, told.prompt_tokens - cached),
        reasoning_tokens=reasoning,
        audio_input_tokens=heard,
        audio_output_tokens=spoken,
        image_input_tokens=min(of_input.image_tokens or 0, told.prompt_tokens - heard),
        image_output_tokens=min(of_output.image_tokens or 0, output - reasoning - spoken),
        duration_ms=_milliseconds(told.prompt_audio_seconds),
        searches=_searches(told),
    )


def _searches(told: _Usage) -> int:
    tools = told.server_tool_use.web_search_requests if told.server_tool_use else None
    return tools or told.num_search_queries or told.num_sources_used or 0


def _milliseconds(seconds: Any) -> int:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return round(seconds * 1000) if is_number and 0 <= seconds < 2**32 else 0


def _output_tokens(told: _Usage, details: _OutputDetails) -> int:
    """Some vendors leave reasoning out of `completion_tokens` but not out of the total."""
    output = told.completion_tokens or 0
    missing = (told.total_tokens or 0) - told.prompt_tokens - output
    hidden = missing > 0 and told.completion_tokens is not None
    if hidden and (told.completion_tokens_details is None or missing == details.reasoning_tokens):
        return output + missing
    return output
