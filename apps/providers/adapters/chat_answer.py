"""Writing answers in OpenAI's format (platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.contract import Answer, Call, Usage
from chatvault.lib import clock

encode = msgspec.json.encode


class Said(msgspec.Struct):
    """One finished choice, whatever the provider calls its parts."""

    text: str | None = None
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] = []
    finish_reason: str = "stop"
    extra: dict[str, Any] = {}  # members of the message that clients send back, as signatures


def tool_call(made: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": made, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(
    call: Call,
    answer_id: str,
    model: str,
    said: list[Said],
    usage: Usage | None,
    *,
    service_tier: str = "",
) -> Answer:
    """A whole answer. Text is weighed for the estimate that a missing usage needs."""
    choices = [
        {
            "index": index,
            "message": _message(choice),
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(said)
    ]
    body: dict[str, Any] = {
        "id": answer_id or f"chatcmpl-{call.request_id}",
        "object": "chat.completion",
        "created": int(clock.wall_s()),
        "model": model,
        "choices": choices,
    }
    if usage is not None:
        body["usage"] = usage_object(usage)
    return Answer(encode(body), usage, sum(map(_weight, said)), service_tier)


def _message(said: Said) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if said.tool_calls:
        message["tool_calls"] = said.tool_calls
    return {**message, **said.extra}


def _weight(said: Said) -> int:
    arguments = "".join(made["function"]["arguments"] for made in said.tool_calls)
    return len(((said.text or "") + (said.reasoning or "") + arguments).encode())


def usage_object(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage` of these counts."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "audio_tokens": usage.audio_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }
