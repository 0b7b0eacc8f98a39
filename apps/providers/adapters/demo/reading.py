"""The request as the demo model takes it: refused as OpenAI refuses what is wrong."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from apps.providers.adapters.chat_content import (
    answered_call,
    image_in,
    parts_of,
    role_of,
    text_in,
    tool_calls_of,
)
from apps.providers.adapters.chat_request import (
    ChatRequest,
    Function,
    Object,
    forced_name,
    functions_of,
    stop_sequences,
    wanted_schema,
)
from apps.providers.adapters.contract import Call
from chatvault.lib.errors import InvalidField, MalformedJson

MAX_STOPS = 4
_MAX_DIMENSIONS = 4096
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_OBJECTS = ("input_audio", "file")


class Request(ChatRequest):
    """The members of all operations that are checked; others are ignored."""

    messages: list[Object] = []
    logprobs: Any = None  # true or false in chat, a number in completions
    prompt: str | list[Any] = ""
    input: str | list[Any] = ""
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=_MAX_DIMENSIONS)] | None = None
    encoding_format: str | None = None


_decode = msgspec.json.Decoder(Request).decode


def read_request(call: Call) -> Request:
    """Raises MalformedJson, or InvalidField or UnsupportedField with the member's path."""
    try:
        request = _decode(call.body)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        reason = _PATH.sub("", str(error))
        raise InvalidField(f"{reason}.", param=path.group(1) if path else None) from None
    except (msgspec.DecodeError, RecursionError):
        raise MalformedJson from None
    if len(stop_sequences(request)) > MAX_STOPS:
        raise InvalidField(f"It may hold at most {MAX_STOPS} sequences.", param="stop")
    wanted_schema(request)
    if call.operation == "chat":
        _check_chat(request)
    elif call.operation == "completions":
        _check_inputs(request.prompt, "prompt")
    else:
        if not request.input:
            raise InvalidField("It must not be empty.", param="input")
        _check_inputs(request.input, "input")
    return request


def forced_tool(request: Request) -> Function | None:
    """The function that the client insists on, if it does. Raises InvalidField."""
    functions = functions_of(request)
    choice = request.tool_choice
    if choice in (None, "none", "auto"):
        return None
    if isinstance(choice, str) and choice != "required":
        raise InvalidField("It must be none, auto or required.", param="tool_choice")
    if not functions:
        raise InvalidField("It is only allowed with `tools`.", param="tool_choice")
    if not isinstance(choice, dict):
        return functions[0]
    wanted = forced_name(choice)
    for function in functions:
        if function.name == wanted:
            return function
    raise InvalidField("It names a tool that is not in `tools`.", param="tool_choice")


def inputs_of(value: str | list[Any]) -> list[Any]:
    """A list of texts or token lists, however the client wrote it."""
    if isinstance(value, str):
        return [value]
    if value and all(isinstance(item, int) for item in value):
        return [value]
    return value or [""]


def _check_inputs(value: str | list[Any], name: str) -> None:
    for index, item in enumerate(inputs_of(value)):
        if not isinstance(item, str | list):
            raise InvalidField("It must be text or tokens.", param=f"{name}[{index}]")


def _check_chat(request: Request) -> None:
    if not request.messages:
        raise InvalidField("It must hold at least one message.", param="messages")
    for index, message in enumerate(request.messages):
        _check_message(message, f"messages[{index}]")
    forced_tool(request)


def _check_message(message: Object, where: str) -> None:
    role = role_of(message, where)
    calls = tool_calls_of(message, where) if role == "assistant" else []
    if message.get("content") is None and not calls and not message.get("refusal"):
        raise InvalidField("It must be text or a list of parts.", param=f"{where}.content")
    if role == "tool":
        answered_call(message, where)
    for index, part in enumerate(parts_of(message, where)):
        _check_part(part, role, f"{where}.content[{index}]")


def _check_part(part: Object, role: str, where: str) -> None:
    kind = part["type"]
    if kind == "text" or (kind == "refusal" and role == "assistant"):
        text_in(part, where)
    elif kind == "image_url" and role == "user":
        image_in(part, where)
    elif kind in _OBJECTS and role == "user":
        if not isinstance(part.get(kind), dict):
            raise InvalidField("It must be an object.", param=f"{where}.{kind}")
    else:
        raise InvalidField(f"A message of role {role} holds no such part.", param=f"{where}.type")
