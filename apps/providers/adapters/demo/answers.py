"""What the demo model says: a pure function of the request."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from apps.providers.adapters.chat_request import (
    output_limit,
    stop_sequences,
    wanted_schema,
    wants_any_json,
)
from apps.providers.adapters.contract import Call
from apps.providers.adapters.demo import words
from apps.providers.adapters.demo.reading import Request, forced_tool, inputs_of
from apps.providers.adapters.demo.schema import example_of
from chatvault.lib import clock

_DIMENSIONS = 256
_MAX_QUOTE = 200
_encode = msgspec.json.encode


class Reply(msgspec.Struct, frozen=True):
    """One choice. A tool call's arguments are its tokens."""

    pieces: list[str]
    finish_reason: str
    tool: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def whole(call: Call, model: str, request: Request) -> bytes:
    """A whole answer in OpenAI's format."""
    if call.operation == "embeddings":
        return _embeddings(model, request)
    replies = _replies(call, request)
    key = "message" if call.operation == "chat" else "text"
    choices = [
        {
            "index": index,
            key: _message(call, index, reply) if key == "message" else reply.text,
            "logprobs": None,
            "finish_reason": reply.finish_reason,
        }
        for index, reply in enumerate(replies)
    ]
    kind = "chat.completion" if call.operation == "chat" else "text_completion"
    head = _head(call, model, kind)
    return _encode({**head, "choices": choices, "usage": _usage(call, request, replies)})


def stream_chunks(call: Call, model: str, request: Request) -> Iterator[bytes]:
    """The JSON of every chunk of a stream with usage asked for."""
    replies = _replies(call, request)
    kind = "chat.completion.chunk" if call.operation == "chat" else "text_completion"
    head = _head(call, model, kind)
    for index, reply in enumerate(replies):
        for part, finish_reason in _parts(call, index, reply):
            choice = {"index": index, **part, "logprobs": None, "finish_reason": finish_reason}
            yield _encode({**head, "choices": [choice], "usage": None})
    yield _encode({**head, "choices": [], "usage": _usage(call, request, replies)})


def _parts(call: Call, index: int, reply: Reply) -> Iterator[tuple[dict[str, Any], str | None]]:
    if call.operation != "chat":
        for piece in reply.pieces:
            yield {"text": piece}, None
        yield {"text": ""}, reply.finish_reason
        return
    if reply.tool is None:
        yield {"delta": {"role": "assistant", "content": "", "refusal": None}}, None
        for piece in reply.pieces:
            yield {"delta": {"content": piece}}, None
    else:
        message = _message(call, index, Reply([], "", reply.tool))
        calls = [{"index": 0, **message["tool_calls"][0]}]
        yield {"delta": {"role": "assistant", "content": None, "tool_calls": calls}}, None
        for piece in reply.pieces:
            more = {"index": 0, "function": {"arguments": piece}}
            yield {"delta": {"tool_calls": [more]}}, None
    yield {"delta": {}}, reply.finish_reason


def _head(call: Call, model: str, kind: str) -> dict[str, Any]:
    prefix = "chatcmpl" if call.operation == "chat" else "cmpl"
    return {
        "id": f"{prefix}-{_digest(call.body)}",
        "object": kind,
        "created": int(clock.wall_s()),
        "model": model,
        "system_fingerprint": "fp_demo",
    }


def _digest(data: bytes) -> str:
    return "demo" + hashlib.blake2b(data, digest_size=12).hexdigest()


def _message(call: Call, index: int, reply: Reply) -> dict[str, Any]:
    if reply.tool is None:
        return {"role": "assistant", "content": reply.text, "refusal": None}
    function = {"name": reply.tool, "arguments": reply.text}
    made = f"call_{_digest(call.body + bytes([index]))}"
    tool_call = {"id": made, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [tool_call]}


def _usage(call: Call, request: Request, replies: list[Reply]) -> dict[str, int]:
    if call.operation == "chat":
        asked = words.count_messages(request.messages)
    else:
        asked = sum(map(_input_tokens, inputs_of(request.prompt)))
    told = sum(len(reply.pieces) for reply in replies)
    return {
        "prompt_tokens": asked,
        "completion_tokens": told,
        "total_tokens": asked + told,
    }


def _replies(call: Call, request: Request) -> list[Reply]:
    tool = forced_tool(request) if call.operation == "chat" else None
    text = _text(call, request) if tool is None else _encode(_arguments(tool.parameters)).decode()
    cap = output_limit(call, request)
    replies = []
    for index in range(request.n or 1):
        said = text if index == 0 or tool or request.response_format else f"{index + 1}: {text}"
        pieces = words.pieces_of(said if tool else _until_stop(said, stop_sequences(request)))
        is_cut = cap is not None and len(pieces) > cap
        finish = "length" if is_cut else "tool_calls" if tool is not None else "stop"
        replies.append(Reply(pieces[:cap], finish, tool.name if tool is not None else None))
    return replies


def _arguments(parameters: dict[str, Any]) -> dict[str, Any]:
    arguments = example_of(parameters)
    return arguments if isinstance(arguments, dict) else {}


def _until_stop(text: str, stops: list[str]) -> str:
    """Up to the first of the client's stop sequences, which is not told."""
    found = [at for at in (text.find(stop) for stop in stops if stop) if at >= 0]
    return text[: min(found)] if found else text


def _text(call: Call, request: Request) -> str:
    if (schema := wanted_schema(request)) is not None:
        return _encode(example_of(schema)).decode()
    said = _last_words(call, request)
    quote = said if len(said) <= _MAX_QUOTE else said[: _MAX_QUOTE - 1] + "…"
    if wants_any_json(request):
        return _encode({"demo": True, "you_said": quote}).decode()
    return (
        f"This is the demo model of ChatVault. You said: “{quote}” "
        f"({_tokens(words.count(said))}). To hear from a real model, add a provider in the admin."
    )


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"


def _last_words(call: Call, request: Request) -> str:
    if call.operation != "chat":
        first = inputs_of(request.prompt)[0]
        return first if isinstance(first, str) else _tokens(len(first))
    for message in reversed(request.messages):
        if message.get("role") == "user":
            return words.text_of(message.get("content"))
    return ""


def _input_tokens(item: Any) -> int:
    return words.count(item) if isinstance(item, str) else len(item)


def _embeddings(model: str, request: Request) -> bytes:
    inputs = inputs_of(request.input)
    size = request.dimensions or _DIMENSIONS
    tokens = 0
    data = []
    for index, item in enumerate(inputs):
        tokens += _input_tokens(item)
        vector = unit_vector(_encode(item), size)
        told: Any = vector
        if request.encoding_format == "base64":
            told = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": told})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode({"object": "list", "data": data, "model": model, "usage": usage})


def unit_vector(seed: bytes, size: int) -> list[float]:
    """`size` numbers that depend on the seed alone and have length 1."""
    noise = hashlib.shake_256(seed).digest(4 * size)
    numbers = [value / 2**31 - 1.0 for value in struct.unpack(f"<{size}I", noise)]
    length = math.sqrt(math.fsum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]
