"""Anthropic's Messages API (docs.anthropic.com/en/api/messages, …/messages-streaming)."""

import json
from collections.abc import Iterator, Mapping

from tests.fakes.upstream.answers import (
    Answer,
    Event,
    Failure,
    ToolCall,
    Usage,
    UsageMode,
    prompt_tokens,
    sample_json,
    tokens,
)
from tests.fakes.upstream.openai_wire import Json, clip, compact, echo

_CREATED_AT = "2026-01-01T00:00:00Z"
_FINISH = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def refusal(body: Json, headers: Mapping[str, str]) -> Failure | None:
    if "anthropic-version" not in headers:
        return Failure(400, "anthropic-version: header is required")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            return Failure(400, f"{name}: Field required")
    if body.get("messages") and body["messages"][0].get("role") not in ("user", "assistant"):
        return Failure(400, "messages.0.role: Input should be 'user' or 'assistant'")
    return None


def failure(error: Failure) -> bytes:
    kind = _TYPES.get(error.status, "api_error")
    fields = {"type": "error", "error": {"type": kind, "message": error.message}}
    return compact(fields | {"request_id": "req_fake"})


def default_answer(body: Json) -> Answer:
    last = (body.get("messages") or [{}])[-1]
    if _may_call(body) and not _has_result(last):
        return Answer(tool_calls=(_called(body),), finish="tool_calls")
    return clip(echo(last), body.get("max_tokens"))


def _may_call(body: Json) -> bool:
    choice = body.get("tool_choice") or {}
    return bool(body.get("tools")) and choice.get("type") != "none"


def _has_result(message: Json) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part["type"] == "tool_result" for part in content)


def _called(body: Json) -> ToolCall:
    forced = (body.get("tool_choice") or {}).get("name")
    tool = next(tool for tool in body["tools"] if forced in (None, tool["name"]))
    return ToolCall(tool["name"], sample_json(tool.get("input_schema")), id="toolu_fake_0")


def _usage(body: Json, answer: Answer) -> Usage:
    return answer.usage or Usage(prompt_tokens(body), answer.tokens)


def _input_json(usage: Usage) -> Json:
    """Anthropic's `input_tokens` excludes what was read from and written to the cache."""
    return {
        "input_tokens": usage.prompt - usage.cached - usage.cache_write,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": 0,
        },
        "service_tier": "standard",
    }


def whole(body: Json, answer: Answer, number: int) -> bytes:
    usage = _usage(body, answer)
    content: list[Json] = [{"type": "text", "text": answer.text}] if answer.pieces else []
    content += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in answer.tool_calls
    ]
    fields = _message(body, number) | {
        "content": content,
        "stop_reason": _FINISH[answer.finish],
        "usage": _input_json(usage) | {"output_tokens": usage.completion},
    }
    if answer.usage_mode is UsageMode.NONE:
        del fields["usage"]
    elif answer.usage_mode is UsageMode.NULL:
        fields["usage"] = None
    return compact(fields)


def _message(body: Json, number: int) -> Json:
    return {
        "id": f"msg_fake{number}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _event(name: str, fields: Json, size: int = 0) -> Event:
    data = compact({"type": name} | fields)
    return Event(b"event: " + name.encode() + b"\ndata: " + data + b"\n\n", size)


def events(body: Json, answer: Answer, number: int) -> Iterator[Event]:
    usage, mode = _usage(body, answer), answer.usage_mode
    is_told = mode not in (UsageMode.NONE, UsageMode.NULL)
    start = _message(body, number)
    if is_told:
        start["usage"] = _input_json(usage) | {"output_tokens": 1}
    elif mode is UsageMode.NULL:
        start["usage"] = None
    yield _event("message_start", {"message": start})
    yield from _blocks(answer)
    end = {"delta": {"stop_reason": _FINISH[answer.finish], "stop_sequence": None}}
    for told in _told(mode, usage.completion) if is_told else [None]:
        final = {} if told is None else {"usage": {"output_tokens": told}}
        yield _event("message_delta", end | final)
    yield _event("message_stop", {})


def _told(mode: UsageMode, output: int) -> list[int | None]:
    if mode is UsageMode.TWICE:
        return [max(0, output - 1), output]
    return [output, output // 2] if mode is UsageMode.DECREASING else [output]


def _blocks(answer: Answer) -> Iterator[Event]:
    index = 0
    if answer.pieces or not answer.tool_calls:
        block: Json = {"type": "text", "text": ""}
        yield _event("content_block_start", {"index": index, "content_block": block})
        yield Event(b'event: ping\ndata: {"type": "ping"}\n\n')
        for piece in answer.pieces:
            delta = {"type": "text_delta", "text": piece}
            yield _event("content_block_delta", {"index": index, "delta": delta}, 1)
        yield _event("content_block_stop", {"index": index})
        index += 1
    for call in answer.tool_calls:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        yield _event("content_block_start", {"index": index, "content_block": block})
        for piece in tokens(call.arguments):
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield _event("content_block_delta", {"index": index, "delta": delta}, 1)
        yield _event("content_block_stop", {"index": index})
        index += 1


def error_event(error: Failure) -> bytes:
    return b"event: error\ndata: " + failure(error) + b"\n\n"


def models(names: list[str]) -> bytes:
    data = [
        {"type": "model", "id": name, "display_name": name, "created_at": _CREATED_AT}
        for name in names
    ]
    ends = {"first_id": names[0], "last_id": names[-1]} if names else {}
    return compact({"data": data, "has_more": False} | ends)
