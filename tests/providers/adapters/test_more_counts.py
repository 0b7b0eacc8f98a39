"""Service tiers, pictures and searches: in answers and in streams of every family."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.billing.pricing import valid_usage
from apps.providers.adapters.counts import tier_name
from apps.providers.adapters.registry import get_adapter
from tests.providers.adapters.shapes import call, endpoint, exchanges, is_stream

OPENAI_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"image_tokens": 60, "audio_tokens": 50},
    "completion_tokens_details": {"image_tokens": 9},
    "server_tool_use": {"web_search_requests": 2},
    "prompt_audio_seconds": 1.5,
}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
ANTHROPIC_USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "service_tier": "priority",
    "server_tool_use": {"web_search_requests": 3},
}
GEMINI_USAGE = {
    "promptTokenCount": 100,
    "candidatesTokenCount": 30,
    "totalTokenCount": 130,
    "promptTokensDetails": [
        {"modality": "IMAGE", "tokenCount": 60},
        {"modality": "AUDIO", "tokenCount": 20},
    ],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 25}],
    "trafficType": "ON_DEMAND_PRIORITY",
}
PICTURE = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}


def read(family: str, body: dict[str, Any]):
    return get_adapter(family).read_answer(call(), json.dumps(body).encode())


def read_stream(family: str, *events: dict[str, Any]):
    reader = get_adapter(family).open_stream(call(stream=True), endpoint(family))
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        reader.feed(f"{name}data: {json.dumps(event)}\n\n".encode())
    if family == "openai":
        reader.feed(b"data: [DONE]\n\n")
    reader.finish()
    return reader


def chunk(delta: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    reason = more.pop("finish_reason", None)
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return {"id": "x", "object": "chat.completion.chunk", "choices": choices, **more}


def test_openai_answers():
    found = read("openai", {"choices": [CHOICE], "usage": OPENAI_USAGE, "service_tier": "flex"})
    assert found.service_tier == "flex"
    usage = found.usage
    assert (usage.image_input_tokens, usage.audio_input_tokens) == (50, 50)  # within the prompt
    assert (usage.image_output_tokens, usage.searches, usage.duration_ms) == (9, 2, 1500)
    assert valid_usage(usage)


@pytest.mark.parametrize(
    ("name", "count"), [("num_search_queries", 4), ("num_sources_used", 5)], ids=str
)
def test_other_words_for_searches(name, count):
    usage = {"prompt_tokens": 1, "completion_tokens": 1, name: count}
    assert read("openai", {"choices": [CHOICE], "usage": usage}).usage.searches == count


def test_mistrals_empty_object_is_no_audio():
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "prompt_audio_seconds": {}}
    assert read("openai", {"choices": [CHOICE], "usage": usage}).usage.duration_ms == 0


def test_openai_streams_tell_the_tier_in_every_chunk_and_the_last_one_counts():
    reader = read_stream(
        "openai",
        chunk({"role": "assistant", "content": ""}, service_tier="auto"),
        *(chunk({"content": f"w{n}"}, service_tier="auto") for n in range(5)),
        chunk({}, finish_reason="stop", service_tier="default"),
        chunk(None, usage=OPENAI_USAGE, service_tier=None),
    )
    assert reader.service_tier == "default"
    assert reader.usage.image_output_tokens == 9


def test_anthropic_answers():
    message = {
        "id": "m",
        "model": "c",
        "content": [{"type": "text", "text": "x"}],
        "stop_reason": "end_turn",
        "usage": ANTHROPIC_USAGE,
    }
    found = read("anthropic", message)
    assert (found.service_tier, found.usage.searches) == ("priority", 3)


def test_anthropic_streams_tell_the_tier_first_and_the_searches_last():
    first = {"input_tokens": 10, "output_tokens": 1, "service_tier": "standard"}
    last = {"output_tokens": 5, "server_tool_use": {"web_search_requests": 3}}
    reader = read_stream(
        "anthropic",
        {"type": "message_start", "message": {"id": "m", "model": "c", "usage": first}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    )
    assert (reader.service_tier, reader.usage.searches) == ("standard", 3)


def gemini(*parts: dict[str, Any], queries: int = 0, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts)}, **more}
    if queries:
        candidate["groundingMetadata"] = {"webSearchQueries": ["q"] * queries}
    return {"candidates": [candidate], "usageMetadata": GEMINI_USAGE}


def test_gemini_answers():
    found = read("gemini", gemini({"text": "x"}, PICTURE, queries=2, finishReason="STOP"))
    usage = found.usage
    assert found.service_tier == "priority"
    assert (usage.image_input_tokens, usage.audio_input_tokens) == (60, 20)
    assert (usage.image_output_tokens, usage.images, usage.searches) == (25, 1, 2)


def test_gemini_streams_repeat_what_was_searched():
    reader = read_stream(
        "gemini",
        gemini({"text": "x"}, queries=1),
        gemini(PICTURE, queries=2),
        gemini(PICTURE, queries=2, finishReason="STOP"),
    )
    assert (reader.service_tier, reader.usage.searches, reader.usage.images) == ("priority", 2, 2)


@pytest.mark.parametrize("told", [None, 5, "", "a b", "x" * 33, ["flex"], "\x00"], ids=repr)
def test_what_is_no_name_is_no_tier(told):
    assert tier_name(told) == ""


CHATS = {
    "openai": ("openai", "/chat/completions"),
    "groq": ("openai", "/chat/completions"),
    "openrouter": ("openai", "/chat/completions"),
    "mistral": ("openai", "/chat/completions"),
    "anthropic": ("anthropic", "/v1/messages"),
    "gemini": ("gemini", "enerateContent"),
}


def test_the_tiers_of_recorded_answers_are_found_and_none_is_made_up():
    seen = 0
    for exchange in exchanges():
        family, path = CHATS.get(exchange["provider"], ("", "?"))
        if path not in exchange["path"] or "count" in exchange["path"] or exchange["status"] != 200:
            continue
        body = exchange["body"].encode()
        adapter = get_adapter(family)
        if is_stream(exchange):
            reader = adapter.open_stream(call(stream=True), endpoint(family))
            reader.feed(body)
            told = [tier for data in _events(exchange["body"]) if (tier := _tier(data))]
            assert reader.service_tier == (told[-1] if told else ""), exchange["id"]
        else:
            told = [tier for tier in [_tier(json.loads(body))] if tier]
            found = adapter.read_answer(call(), body).service_tier
            assert found == (told[0] if told else ""), exchange["id"]
        seen += bool(told)
    assert seen > 50


def _events(text: str) -> list[Any]:
    lines = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.startswith("{")]


def _tier(told: dict[str, Any]) -> str:
    """Wherever one of the three tells it."""
    usage = told.get("usage") or (told.get("message") or {}).get("usage") or {}
    google = told.get("usageMetadata") or {}
    tier = google.get("serviceTier") or google.get("trafficType")
    name = str(told.get("service_tier") or usage.get("service_tier") or tier or "").lower()
    return "standard" if google and name == "on_demand" else name
