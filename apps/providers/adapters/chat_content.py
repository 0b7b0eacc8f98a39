"""The parts of a chat message, checked: text, pictures, files and tool calls."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.providers.adapters.chat_request import Object
from chatvault.lib.errors import InvalidField

_DATA_URL = re.compile(r"data:([\w.+\-/]+)(?:;[\w\-]+=[^;,]*)*;base64,", re.ASCII)
_HTTP_URL = re.compile(r"https?://\S+", re.ASCII)


class Blob(msgspec.Struct, frozen=True):
    """Bytes in the request (`data`, base64) or at an address (`url`)."""

    media_type: str
    data: str = ""
    url: str = ""


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: Object


def parts_of(message: Object, where: str) -> list[Object]:
    """The content as a list of parts, each with a `type`. Raises InvalidField."""
    content = message.get("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise InvalidField("It must be text or a list of parts.", param=f"{where}.content")
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise InvalidField(
                "It must be an object with a type.", param=f"{where}.content[{index}]"
            )
    return content


def text_in(part: Object, where: str) -> str:
    """The text of a text or refusal part. Raises InvalidField."""
    name = "refusal" if part["type"] == "refusal" else "text"
    text = part.get(name)
    if not isinstance(text, str):
        raise InvalidField("It must be text.", param=f"{where}.{name}")
    return text


def text_of(message: Object, where: str) -> str:
    """All text of a message that may hold nothing else. Raises InvalidField."""
    texts = []
    for index, part in enumerate(parts_of(message, where)):
        place = f"{where}.content[{index}]"
        if part["type"] not in ("text", "refusal"):
            raise InvalidField("Only text is allowed here.", param=f"{place}.type")
        texts.append(text_in(part, place))
    return "\n".join(texts)


def image_in(part: Object, where: str) -> Blob:
    """The picture of an image_url part. Raises InvalidField."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return blob_at(url, f"{where}.image_url.url", "image/")


def file_in(part: Object, where: str) -> Blob:
    """The file of a file part; only files that are in the request. Raises InvalidField."""
    file = part.get("file")
    data = file.get("file_data") if isinstance(file, dict) else None
    if data is None:
        raise InvalidField("Only files with file_data are supported.", param=f"{where}.file")
    return blob_at(data, f"{where}.file.file_data", "")


def blob_at(url: Any, where: str, kind: str) -> Blob:
    """A data: or http(s): URL; `kind` is what a data URL's media type must begin with."""
    if not isinstance(url, str):
        raise InvalidField("It must be a URL.", param=where)
    match = _DATA_URL.match(url)
    if match is not None:
        if not match.group(1).startswith(kind):
            raise InvalidField(f"Its media type must begin with {kind}.", param=where)
        return Blob(match.group(1), data=url[match.end() :])
    if _HTTP_URL.fullmatch(url) is None:
        raise InvalidField("It must be a base64 data: URL or an http(s): URL.", param=where)
    return Blob("", url=url)


def tool_calls_of(message: Object, where: str) -> list[ToolCall]:
    """The calls that an assistant's message made. Raises InvalidField."""
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise InvalidField("It must be a list.", param=f"{where}.tool_calls")
    return [_tool_call(call, f"{where}.tool_calls[{i}]") for i, call in enumerate(calls)]


def _tool_call(call: Any, where: str) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise InvalidField("It must be an object.", param=f"{where}.function")
    name, made = function.get("name"), call.get("id")
    if not isinstance(name, str) or not name:
        raise InvalidField("It must be text.", param=f"{where}.function.name")
    if not isinstance(made, str) or not made:
        raise InvalidField("It must be text.", param=f"{where}.id")
    text = function.get("arguments")
    try:
        arguments = msgspec.json.decode(text) if text else {}
    except (msgspec.DecodeError, RecursionError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise InvalidField("It must be a JSON object as text.", param=f"{where}.function.arguments")
    return ToolCall(made, name, arguments)


def answered_call(message: Object, where: str) -> str:
    """The id of the call that a tool's message answers. Raises InvalidField."""
    made = message.get("tool_call_id")
    if not isinstance(made, str) or not made:
        raise InvalidField("It must be the id of a tool call.", param=f"{where}.tool_call_id")
    return made


def role_of(message: Object, where: str) -> str:
    """Raises InvalidField for a role that OpenAI's format does not have."""
    role = message.get("role")
    if role not in ("system", "developer", "user", "assistant", "tool"):
        raise InvalidField(
            "It must be system, developer, user, assistant or tool.", param=f"{where}.role"
        )
    return str(role)
