"""litellm's objects as OpenAI's bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters import sse

# Members of litellm's own, and ones that are always null.
_DROPPED = frozenset({"provider_specific_fields", "citations", "function_call", "annotations"})
_NULL_KEPT = frozenset({"content", "finish_reason", "logprobs", "refusal"})


def whole(answer: Any) -> bytes:
    """A ModelResponse or EmbeddingResponse."""
    return msgspec.json.encode(pruned(answer.model_dump()))


def frame(chunk: Any) -> bytes:
    """A ModelResponseStream as one event. One that tells nothing but usage has no choices."""
    made = pruned(chunk.model_dump())
    if made.get("usage") and not any(_says_something(one) for one in made.get("choices", [])):
        made["choices"] = []
    return sse.event(msgspec.json.encode(made))


def _says_something(choice: dict[str, Any]) -> bool:
    return bool(choice.get("finish_reason")) or any((choice.get("delta") or {}).values())


def pruned(value: Any) -> Any:
    if isinstance(value, list):
        return [pruned(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, member in value.items():
        if member is None and name not in _NULL_KEPT:
            continue
        if name in _DROPPED and not (name == "annotations" and member):
            continue
        kept[name] = pruned(member)
    return kept


def error(status: int, message: str, kind: str) -> bytes:
    """An error body in OpenAI's envelope, for `read_error` to clean."""
    return msgspec.json.encode({"error": {"message": message, "type": kind}})
