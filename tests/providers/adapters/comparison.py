"""What of an answer must be equal, whoever made it."""

from __future__ import annotations

import json
from typing import Any


def of_answer(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Text, reasoning, calls and finish reason of every choice."""
    return [
        {
            "text": choice["message"].get("content") or None,
            "reasoning": choice["message"].get("reasoning_content") or None,
            "calls": [_call(made) for made in choice["message"].get("tool_calls") or []],
            "finish": choice["finish_reason"],
        }
        for choice in answer["choices"]
    ]


def of_usage(usage: dict[str, Any]) -> tuple[int, int, int]:
    """Input, output and cached tokens."""
    details = usage.get("prompt_tokens_details") or {}
    return usage["prompt_tokens"], usage["completion_tokens"], details.get("cached_tokens") or 0


def of_chunks(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """One choice put together as a client does it; the calls by their index."""
    text, reasoning, finish = "", "", None
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            text += delta.get("content") or ""
            reasoning += delta.get("reasoning_content") or ""
            finish = choice.get("finish_reason") or finish
            for made in delta.get("tool_calls") or []:
                call = calls.setdefault(made["index"], ["", ""])
                call[0] += made["function"].get("name") or ""
                call[1] += made["function"].get("arguments") or ""
    return {
        "text": text or None,
        "reasoning": reasoning or None,
        "calls": [(name, json.loads(told or "{}")) for _, (name, told) in sorted(calls.items())],
        "finish": finish,
    }


def _call(made: dict[str, Any]) -> tuple[str, Any]:
    function = made["function"]
    return function["name"], json.loads(function["arguments"] or "{}")
