"""Anthropic's usage as OpenAI counts: caches are in addition to `input_tokens` there."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.contract import Usage
from apps.providers.adapters.counts import Count, tier_name


class _Creation(msgspec.Struct):
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class _ServerTools(msgspec.Struct):
    web_search_requests: Count | None = None


class _Usage(msgspec.Struct):
    input_tokens: Count
    output_tokens: Count
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _Creation | None = None
    output_tokens_details: _OutputDetails | None = None
    server_tool_use: _ServerTools | None = None


def read_usage(told: Any) -> Usage | None:
    """None for what is absent or not valid."""
    try:
        usage = msgspec.convert(told, _Usage)
    except msgspec.ValidationError:
        return None
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    hour = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    hour = min(hour or 0, written)
    details = usage.output_tokens_details
    reasoning = (details.thinking_tokens if details else 0) or 0
    return Usage(
        input_tokens=usage.input_tokens + cached + written,
        output_tokens=usage.output_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=min(reasoning, usage.output_tokens),
        searches=(usage.server_tool_use.web_search_requests or 0) if usage.server_tool_use else 0,
    )


def service_tier(told: Any) -> str:
    """In which tier it was served: standard, priority or batch."""
    return tier_name(told.get("service_tier")) if isinstance(told, dict) else ""


def merge(known: dict[str, Any], told: Any) -> dict[str, Any]:
    """Totals in a stream are cumulative and come in pieces: the later piece wins."""
    if not isinstance(told, dict):
        return known
    return {**known, **{name: value for name, value in told.items() if value is not None}}
