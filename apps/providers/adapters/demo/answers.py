"""What the demo model says: a pure function of the request."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from apps.providers.adapters.contract import Call
from apps.providers.adapters.demo import words
from apps.providers.adapters.demo.schema import example_of
from chatvault.lib import clock
from chatvault.lib.errors import InvalidField

_DIMENSIONS = 256
_MAX_DIMENSIONS = 4096
_MAX_QUOTE = 200
_MAX_CHOICES = 128
_encode = msgspec.json.encode

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class Request(msgspec.Struct):
    """The members that the demo model honours; it ignores all others."""

    messages: list[dict[str, Any]] = []
    prompt: str | list[Any] = ""
    input: str | list[Any] = ""
    n: Annotated[int, msgspec.Meta(ge=1, le=_MAX_CHOICES)] | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=_MAX_DIMENSIONS)] | None = None
    encoding_format: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """One choice. A tool call's arguments are its tokens."""

    pieces: list[str]
    finish_reason: str
    tool: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


_decode = msgspec.json.Decoder(Request).decode


def read_request(call: Call) -> Request:
    """Raises InvalidField as a provider would."""
    try:
        request = _decode(call.body)
    except msgspec.DecodeError as error:
        where = str(error).rpartition("`$.")[2].rstrip("`") if "`$." in str(error) else None
        raise InvalidField(str(error).partition(" - at ")[0], param=where) from None
    if call.operation == "chat" and not request.messages:
        raise InvalidField("It must hold at least one message.", param="messages")
    if call.operation == "embeddings" and not request.input:
        raise InvalidField("It must not be empty.", param="input")
    return request


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
        asked = sum(map(_input_tokens, _inputs(request.prompt)))
    told = sum(len(reply.pieces) for reply in replies)
    return {
        "prompt_tokens": asked,
        "completion_tokens": told,
        "total_tokens": asked + told,
    }


def _replies(call: Call, request: Request) -> list[Reply]:
    tool = _forced_tool(request) if call.operation == "chat" else None
    if tool is not None:
        arguments = example_of(tool.get("parameters"))
        text = _encode(arguments if isinstance(arguments, dict) else {}).decode()
    else:
        text = _text(call, request)
    asked = (call.max_output_tokens, request.max_completion_tokens, request.max_tokens)
    cap = next((limit for limit in asked if limit is not None), None)
    replies = []
    for index in range(request.n or 1):
        said = text if index == 0 or tool or request.response_format else f"{index + 1}: {text}"
        pieces = words.pieces_of(said)
        is_cut = cap is not None and len(pieces) > cap
        finish = "length" if is_cut else "tool_calls" if tool is not None else "stop"
        name = str(tool.get("name")) if tool is not None else None
        replies.append(Reply(pieces[:cap], finish, name))
    return replies


def _forced_tool(request: Request) -> dict[str, Any] | None:
    """The function that the client insists on, if it does."""
    found = [tool.get("function") for tool in request.tools or []]
    functions = [function for function in found if isinstance(function, dict)]
    choice = request.tool_choice
    if choice == "required":
        return functions[0] if functions else None
    if not isinstance(choice, dict) or not isinstance(choice.get("function"), dict):
        return None
    wanted = choice["function"].get("name")
    for function in functions:
        if function.get("name") == wanted:
            return function
    raise InvalidField("It names a tool that is not in `tools`.", param="tool_choice")


def _text(call: Call, request: Request) -> str:
    wanted = request.response_format or {}
    if wanted.get("type") == "json_schema" and isinstance(wanted.get("json_schema"), dict):
        return _encode(example_of(wanted["json_schema"].get("schema"))).decode()
    said = _last_words(call, request)
    quote = said if len(said) <= _MAX_QUOTE else said[: _MAX_QUOTE - 1] + "…"
    if wanted.get("type") == "json_object":
        return _encode({"demo": True, "you_said": quote}).decode()
    return (
        f"This is the demo model of ChatVault. You said: “{quote}” "
        f"({words.count(said)} tokens). To hear from a real model, add a provider in the admin."
    )


def _last_words(call: Call, request: Request) -> str:
    if call.operation != "chat":
        first = _inputs(request.prompt)[0]
        return first if isinstance(first, str) else f"{len(first)} tokens"
    for message in reversed(request.messages):
        if message.get("role") == "user":
            return words.text_of(message.get("content"))
    return ""


def _inputs(value: str | list[Any]) -> list[Any]:
    """A list of texts or token lists, however the client wrote it."""
    if isinstance(value, str):
        return [value]
    if value and all(isinstance(item, int) for item in value):
        return [value]
    return value or [""]


def _input_tokens(item: Any) -> int:
    return words.count(item) if isinstance(item, str) else len(item)


def _embeddings(model: str, request: Request) -> bytes:
    inputs = _inputs(request.input)
    size = request.dimensions or _DIMENSIONS
    tokens = 0
    data = []
    for index, item in enumerate(inputs):
        if not isinstance(item, str | list):
            raise InvalidField("It must be text or tokens.", param=f"input[{index}]")
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
