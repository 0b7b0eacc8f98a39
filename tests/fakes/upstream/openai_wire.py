"""OpenAI's formats: chat, completions, embeddings, models (platform.openai.com/docs)."""

import base64
import json
import math
import struct
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from tests.fakes.upstream.answers import (
    Answer,
    Event,
    Failure,
    ToolCall,
    Usage,
    UsageMode,
    prompt_tokens,
    sample_json,
    strings_in,
    tokens,
)

CREATED = 1_767_225_600
Json = dict[str, Any]


def refusal(body: Json, headers: Mapping[str, str]) -> Failure | None:
    """What the real endpoint would not accept, of that which a gateway could get wrong."""
    if "messages" not in body and "prompt" not in body and "input" not in body:
        return Failure(400, "Missing required parameter: 'messages'.", param="messages",
                       code="missing_required_parameter")  # fmt: skip
    if body.get("stream_options") is not None and not body.get("stream"):
        return Failure(400, "The 'stream_options' parameter is only allowed when 'stream' is"
                       " enabled.", param="stream_options")  # fmt: skip
    return None


def failure(error: Failure) -> bytes:
    fields = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    return _pretty({"error": fields})


def default_answer(body: Json) -> Answer:
    """Call the first (or the forced) tool once, fit a schema if one is asked, else echo."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if "prompt" in body:
        return clip(echo(body["prompt"]), limit)
    messages = body.get("messages") or [{}]
    may_call = body.get("tools") and body.get("tool_choice") != "none"
    if may_call and messages[-1].get("role") != "tool":
        return Answer(tool_calls=(_called(body),), finish="tool_calls")
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return Answer((sample_json(wanted["json_schema"].get("schema")),))
    if wanted.get("type") == "json_object":
        return Answer(('{"ok":', "true}"))
    return clip(echo(messages[-1]), limit)


def echo(source: Any) -> Answer:
    """Repeat what was said, so that an answer that reaches the wrong client is noticed."""
    return Answer(("You", " said:", *(f" {word}" for word in _words(source))))


def clip(answer: Answer, limit: Any) -> Answer:
    if isinstance(limit, int) and len(answer.pieces) > limit:
        return Answer(answer.pieces[:limit], finish="length")
    return answer


def _words(source: Any) -> list[str]:
    return " ".join(strings_in(source)).split()


def _called(body: Json) -> ToolCall:
    functions = [tool["function"] for tool in body["tools"] if tool.get("function")]
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        forced = choice["function"]["name"]
        functions = [function for function in functions if function["name"] == forced]
    return ToolCall(functions[0]["name"], sample_json(functions[0].get("parameters", {})))


def usage_of(body: Json, answer: Answer) -> Usage:
    count = int(body.get("n") or 1)
    return answer.usage or Usage(prompt_tokens(body), answer.tokens * count)


def usage_json(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def whole(body: Json, answer: Answer, number: int) -> bytes:
    """The answer when `stream` is not asked."""
    is_chat = "messages" in body
    choices = [
        _choice(answer, index, is_chat, bool(body.get("logprobs")))
        for index in range(int(body.get("n") or 1))
    ]
    fields: Json = {
        "id": _id(number, is_chat),
        "object": "chat.completion" if is_chat else "text_completion",
        "created": CREATED,
        "model": body.get("model"),
        "choices": choices,
        "usage": usage_json(usage_of(body, answer)),
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }
    if answer.usage_mode is UsageMode.NONE:
        del fields["usage"]
    elif answer.usage_mode is UsageMode.NULL:
        fields["usage"] = None
    return _pretty(fields)


def _choice(answer: Answer, index: int, is_chat: bool, with_logprobs: bool) -> Json:
    end = {"logprobs": None, "finish_reason": answer.finish}
    if not is_chat:
        return {"text": answer.text, "index": index, **end}
    message: Json = {"role": "assistant", "content": answer.text or None}
    if answer.tool_calls:
        message["tool_calls"] = [
            {**_head(call), "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
    message |= {"refusal": None, "annotations": []}
    if with_logprobs:
        end["logprobs"] = _logprobs(answer.pieces)
    return {"index": index, "message": message, **end}


def _head(call: ToolCall) -> Json:
    return {"id": call.id, "type": "function"}


def _logprobs(pieces: tuple[str, ...]) -> Json:
    return {
        "content": [
            {"token": piece, "logprob": -0.25, "bytes": list(piece.encode()), "top_logprobs": []}
            for piece in pieces
        ],
        "refusal": None,
    }


def events(body: Json, answer: Answer, number: int) -> Iterator[Event]:
    """The answer as server-sent events; usage only when it was asked, as OpenAI does."""
    is_chat, count = "messages" in body, int(body.get("n") or 1)
    asked = bool((body.get("stream_options") or {}).get("include_usage"))
    mode, usage = answer.usage_mode, usage_of(body, answer)
    frame = _Frame(body, number, is_chat, with_null=asked and mode is not UsageMode.NONE)
    if mode is UsageMode.UNASKED:
        asked = True
    sent = 0
    for choice, piece in _deltas(body, answer, count, is_chat):
        sent += piece
        now = Usage(usage.prompt, sent) if mode is UsageMode.EVERY_CHUNK else None
        yield Event(frame.chunk([choice], now), piece)
    last = usage if mode in (UsageMode.ON_LAST_CHOICE, UsageMode.EVERY_CHUNK) else None
    for index in range(count):
        choice = _delta(index, {}, is_chat) | {"finish_reason": answer.finish}
        yield Event(frame.chunk([choice], last if index == count - 1 else None))
    if asked and mode in (UsageMode.NORMAL, UsageMode.UNASKED, UsageMode.TWICE):
        first = Usage(usage.prompt, max(0, usage.completion - 1))
        both = [first, usage] if mode is UsageMode.TWICE else [usage]
        yield from (Event(frame.chunk([], told)) for told in both)
    elif mode is UsageMode.DECREASING:
        yield Event(frame.chunk([], usage))
        yield Event(frame.chunk([], Usage(usage.prompt, usage.completion // 2)))
    elif asked and mode is UsageMode.NULL:
        yield Event(frame.chunk([], None))
    yield Event(b"data: [DONE]\n\n")


def _deltas(body: Json, answer: Answer, count: int, is_chat: bool) -> Iterator[tuple[Json, int]]:
    """(choice, tokens) for every piece of every choice, choices interleaved."""
    if is_chat:
        start: Json = {"role": "assistant", "content": None if answer.tool_calls else ""}
        for index in range(count):
            yield _delta(index, start | {"refusal": None}, is_chat), 0
    for piece in answer.pieces:
        for index in range(count):
            choice = _delta(index, {"content": piece}, is_chat)
            if is_chat and body.get("logprobs"):
                choice["logprobs"] = _logprobs((piece,))
            yield choice, 1
    calls = [_call_deltas(at, call) for at, call in enumerate(answer.tool_calls)]
    for delta, size in chain.from_iterable(calls):
        for index in range(count):
            yield _delta(index, {"tool_calls": [delta]}, is_chat), size


def _call_deltas(at: int, call: ToolCall) -> Iterator[tuple[Json, int]]:
    yield {"index": at, **_head(call), "function": {"name": call.name, "arguments": ""}}, 0
    for piece in tokens(call.arguments):
        yield {"index": at, "function": {"arguments": piece}}, 1


def _delta(index: int, delta: Json, is_chat: bool) -> Json:
    said = {"delta": delta} if is_chat else {"text": delta.get("content", "")}
    return {"index": index, **said, "logprobs": None, "finish_reason": None}


class _Frame:
    """Everything of a chunk that does not change within one stream."""

    def __init__(self, body: Json, number: int, is_chat: bool, *, with_null: bool) -> None:
        self._with_null = with_null
        self._head = {
            "id": _id(number, is_chat),
            "object": "chat.completion.chunk" if is_chat else "text_completion",
            "created": CREATED,
            "model": body.get("model"),
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        }
        self._obfuscates = (body.get("stream_options") or {}).get("include_obfuscation", True)
        self._count = 0

    def chunk(self, choices: list[Json], usage: Usage | None) -> bytes:
        fields = self._head | {"choices": choices}
        if usage is not None:
            fields["usage"] = usage_json(usage)
        elif self._with_null:
            fields["usage"] = None
        if self._obfuscates:
            self._count += 1
            fields["obfuscation"] = "obfuscate"[: 1 + self._count % 9]
        return b"data: " + compact(fields) + b"\n\n"


def embeddings(body: Json, number: int) -> bytes:
    """Four numbers a text, unit length, derived from the text; base64 when asked."""
    source = body["input"]
    many = source if isinstance(source, list) and not _is_token_list(source) else [source]
    data = [
        {"object": "embedding", "index": at, "embedding": _encoded(vector_of(item), body)}
        for at, item in enumerate(many)
    ]
    count = sum(len(item) if isinstance(item, list) else len(tokens(item)) for item in many)
    fields = {"object": "list", "data": data, "model": body.get("model")}
    return _pretty(fields | {"usage": {"prompt_tokens": count, "total_tokens": count}})


def _is_token_list(source: list[Any]) -> bool:
    return bool(source) and isinstance(source[0], int)


def vector_of(text: Any) -> list[float]:
    raw = [1 + sum(str(text).encode()[at::4]) % 97 for at in range(4)]
    length = math.sqrt(sum(number * number for number in raw))
    return [number / length for number in raw]


def _encoded(vector: list[float], body: Json) -> Any:
    if body.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def models(names: list[str]) -> bytes:
    return _pretty({"object": "list", "data": [_model(name) for name in names]})


def model(name: str) -> bytes:
    return _pretty(_model(name))


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}


def _id(number: int, is_chat: bool) -> str:
    return f"chatcmpl-fake{number}" if is_chat else f"cmpl-fake{number}"


def compact(fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def _pretty(fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"
