"""A whole answer: the provider's own bytes, and the usage that is in them."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.contract import Answer, Call
from apps.providers.adapters.counts import tier_name
from apps.providers.adapters.openai.error import in_band_refusal
from apps.providers.adapters.openai.usage import read_usage
from chatvault.lib.errors import UpstreamInvalid


class _Answer(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw()
    data: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    service_tier: Any = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_any = msgspec.json.Decoder().decode


def read_answer(call: Call, body: bytes) -> Answer:
    """Raises UpstreamInvalid for a 200 that is no answer, UpstreamRefused for an error in it."""
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamInvalid from None
    results = answer.data if call.operation == "embeddings" else answer.choices
    if bytes(results)[:1] != b"[":
        if bytes(answer.error)[:1] == b"{":
            raise in_band_refusal(bytes(answer.error))
        raise UpstreamInvalid
    usage = read_usage(answer.usage)
    if usage is not None or call.operation == "embeddings":
        return Answer(body, usage, service_tier=tier_name(answer.service_tier))
    try:
        size = _text_bytes(_decode_any(results))
        return Answer(body, None, size, tier_name(answer.service_tier))
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamInvalid from None


def _text_bytes(choices: list[Any]) -> int:
    """Delivered text: message content, reasoning and tool arguments, in UTF-8 bytes."""
    size = 0
    for choice in choices:
        if isinstance(choice, dict):
            size += text_size(choice.get("message")) + text_size(choice.get("text"))
    return size


def text_size(value: Any) -> int:
    """UTF-8 bytes of all text in a message or delta, but for its labels."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, list):
        return sum(map(text_size, value))
    if isinstance(value, dict):
        return sum(text_size(v) for k, v in value.items() if k not in _LABELS)
    return 0


_LABELS = frozenset({"role", "id", "type", "index", "object"})
