"""A Messages answer as OpenAI's chat completion."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.anthropic.error import event_refusal
from apps.providers.adapters.anthropic.request import JSON_TOOL
from apps.providers.adapters.anthropic.usage import read_usage, service_tier
from apps.providers.adapters.chat_answer import Said, answer, encode, tool_call
from apps.providers.adapters.contract import Answer, Call
from chatvault.lib.errors import UpstreamInvalid

FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "compaction": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Message(msgspec.Struct):
    content: list[dict[str, Any]]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: Any = None


_decode = msgspec.json.Decoder(_Message).decode


def read_answer(call: Call, body: bytes) -> Answer:
    """Raises UpstreamInvalid for a 200 that is no answer, UpstreamRefused for an error in it."""
    try:
        message = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise _why_invalid(body) from None
    said = _said(message)
    usage, tier = read_usage(message.usage), service_tier(message.usage)
    return answer(call, message.id, message.model, [said], usage, service_tier=tier)


def _why_invalid(body: bytes) -> Exception:
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return UpstreamInvalid()
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        return event_refusal(told["error"])
    return UpstreamInvalid()


def _said(message: _Message) -> Said:
    """Blocks of the provider's own tools have no place in OpenAI's format and are left out."""
    said = Said(finish_reason=finish_reason(message.stop_reason))
    thinking: list[dict[str, Any]] = []
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    answers_json = False
    for block in message.content:
        kind = block.get("type")
        if kind == "text":
            texts.append(_text(block, "text"))
        elif kind == "thinking":
            thinking.append(
                {
                    "type": "thinking",
                    "thinking": _text(block, "thinking"),
                    "signature": _text(block, "signature"),
                }
            )
        elif kind == "redacted_thinking":
            thinking.append({"type": kind, "data": _text(block, "data")})
        elif kind == "tool_use" and block.get("name") == JSON_TOOL:
            texts = [encode(block.get("input")).decode()]
            answers_json = True
        elif kind == "tool_use":
            arguments = encode(block.get("input") or {}).decode()
            calls.append(tool_call(_text(block, "id"), _text(block, "name"), arguments))
    said.text = "".join(texts) or None
    said.tool_calls = calls
    if answers_json and not calls and message.stop_reason == "tool_use":
        said.finish_reason = "stop"
    if thinking:
        said.reasoning = "".join(block.get("thinking", "") for block in thinking) or None
        said.extra = {"thinking_blocks": thinking}
    return said


def finish_reason(stop_reason: str | None) -> str:
    """OpenAI's word for it; "stop" for reasons that are not known yet."""
    return FINISH_REASONS.get(stop_reason or "", "stop")


def _text(block: dict[str, Any], name: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise UpstreamInvalid
    return value
