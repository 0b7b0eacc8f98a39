"""A generateContent answer as OpenAI's chat completion."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.chat_answer import Said, answer, encode, tool_call
from apps.providers.adapters.contract import Answer, Call
from apps.providers.adapters.gemini import signatures
from apps.providers.adapters.gemini.embeddings import read_embeddings
from apps.providers.adapters.gemini.error import event_refusal
from apps.providers.adapters.gemini.usage import Found, read_usage, service_tier
from chatvault.lib.errors import UpstreamInvalid

_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "OTHER": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "NO_IMAGE": "content_filter",
}


class Content(msgspec.Struct):
    parts: list[dict[str, Any]] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    index: int = 0
    grounding_metadata: dict[str, Any] | None = None


class Generated(msgspec.Struct, rename="camel"):
    """One answer, or one event of a stream."""

    candidates: list[Candidate] | None = None
    prompt_feedback: dict[str, Any] | None = None
    usage_metadata: Any = None
    model_version: str = ""
    response_id: str = ""
    error: Any = None

    @property
    def is_blocked(self) -> bool:
        """The prompt itself was refused: there are no candidates."""
        return bool(self.prompt_feedback and self.prompt_feedback.get("blockReason"))

    def found(self) -> Found:
        """What the candidates show of searches and pictures."""
        candidates = self.candidates or []
        searches = sum(map(searches_of, candidates))
        has_searched = searches > 0 or any(map(_has_asked_maps, candidates))
        return Found(has_searched, searches, sum(map(images_of, candidates)))


def searches_of(candidate: Candidate) -> int:
    """What Google asked of the web for it."""
    asked = (candidate.grounding_metadata or {}).get("webSearchQueries")
    return len(asked) if isinstance(asked, list) else 0


def images_of(candidate: Candidate) -> int:
    return sum(_is_image(part.get("inlineData")) for part in parts_of(candidate))


def _is_image(data: Any) -> bool:
    return isinstance(data, dict) and str(data.get("mimeType", "")).startswith("image/")


def _has_asked_maps(candidate: Candidate) -> bool:
    chunks = (candidate.grounding_metadata or {}).get("groundingChunks") or []
    return any("maps" in chunk for chunk in chunks)


_decode = msgspec.json.Decoder(Generated).decode


def read_answer(call: Call, body: bytes) -> Answer:
    """Raises UpstreamInvalid for a 200 that is no answer, UpstreamRefused for an error in it."""
    if call.operation == "embeddings":
        return read_embeddings(call, body)
    try:
        told = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamInvalid from None
    if isinstance(told.error, dict):
        raise event_refusal(told.error)
    usage = read_usage(told.usage_metadata, told.found())
    answer_id = told.response_id or f"chatcmpl-{call.request_id}"
    said = [_said(candidate, answer_id) for candidate in told.candidates or []]
    if not said:
        if not told.is_blocked:
            raise UpstreamInvalid
        said = [Said(finish_reason="content_filter")]
    tier = service_tier(told.usage_metadata)
    return answer(call, answer_id, told.model_version or call.alias, said, usage, service_tier=tier)


def _said(candidate: Candidate, answer_id: str) -> Said:
    """Parts of Google's own tools and media have no place in OpenAI's format."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts_of(candidate):
        text = part.get("text")
        if isinstance(text, str):
            (thoughts if part.get("thought") is True else texts).append(text)
        elif "functionCall" in part:
            calls.append(call_in(part, answer_id, candidate.index, len(calls)))
    return Said(
        text="".join(texts) or None,
        reasoning="".join(thoughts) or None,
        tool_calls=calls,
        finish_reason=finish_reason(candidate.finish_reason, bool(calls)),
    )


def parts_of(candidate: Candidate) -> list[dict[str, Any]]:
    return (candidate.content.parts if candidate.content else None) or []


def call_in(part: dict[str, Any], answer_id: str, candidate: int, position: int) -> dict[str, Any]:
    """The part's function call in OpenAI's format, its signature carried in the id."""
    told = part["functionCall"]
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        raise UpstreamInvalid
    made = told.get("id") or signatures.made_id(answer_id, candidate, position)
    made = signatures.sign(str(made), part.get("thoughtSignature"))
    return tool_call(made, told["name"], encode(told.get("args") or {}).decode())


def finish_reason(told: str | None, has_calls: bool) -> str:
    """OpenAI's word for it. A call is one only if the model meant to stop there."""
    reason = _FINISH_REASONS.get(told or "STOP", "stop")
    return "tool_calls" if has_calls and reason == "stop" else reason
