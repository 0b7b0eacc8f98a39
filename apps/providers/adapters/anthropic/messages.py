"""OpenAI's messages as Anthropic's: system apart, turns merged, tool results in user turns."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from apps.providers.adapters.chat_content import (
    answered_call,
    file_in,
    image_in,
    parts_of,
    role_of,
    text_in,
    tool_calls_of,
)
from apps.providers.adapters.chat_request import Object, refuse
from chatvault.lib.errors import InvalidField

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_\-]")


def split_system(messages: list[Object]) -> tuple[list[Object], list[Object]]:
    """System text as blocks, and the turns.

    All system and developer messages go to the front, as Anthropic's own OpenAI layer does it.
    Raises InvalidField or UnsupportedField with the member's path.
    """
    system: list[Object] = []
    turns: list[Object] = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = role_of(message, where)
        if role in ("system", "developer"):
            system += _texts(message, where)
            continue
        blocks = _TURNS[role](message, where)
        _mark_cache(message, blocks)
        _add(turns, "assistant" if role == "assistant" else "user", blocks)
    if not turns:
        raise InvalidField("It must hold a message of the user.", param="messages")
    _trim_prefill(turns[-1])
    return system, turns


def _add(turns: list[Object], role: str, blocks: list[Object]) -> None:
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _trim_prefill(last: Object) -> None:
    """A prefilled answer may not end in white space."""
    if last["role"] == "assistant" and last["content"][-1]["type"] == "text":
        last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()


def _mark_cache(message: Object, blocks: list[Object]) -> None:
    marker = message.get("cache_control")
    if isinstance(marker, dict) and blocks:
        blocks[-1].setdefault("cache_control", marker)


def _texts(message: Object, where: str) -> list[Object]:
    blocks = []
    for index, part in enumerate(parts_of(message, where)):
        place = f"{where}.content[{index}]"
        if part["type"] != "text":
            raise InvalidField("Only text is allowed here.", param=f"{place}.type")
        blocks += _text(part, place)
    _mark_cache(message, blocks)
    return blocks


def _text(part: Object, where: str) -> list[Object]:
    """No block for blank text: it is refused there."""
    text = text_in(part, where)
    return [_with_marker({"type": "text", "text": text}, part)] if text.strip() else []


def _with_marker(block: Object, part: Object) -> Object:
    marker = part.get("cache_control")
    return {**block, "cache_control": marker} if isinstance(marker, dict) else block


def _user(message: Object, where: str) -> list[Object]:
    blocks: list[Object] = []
    for index, part in enumerate(parts_of(message, where)):
        blocks += _block(part, f"{where}.content[{index}]")
    return blocks


def _block(part: Object, where: str) -> list[Object]:
    if part["type"] == "text":
        return _text(part, where)
    if part["type"] == "image_url":
        return [_with_marker({"type": "image", "source": _image(part, where)}, part)]
    if part["type"] == "file":
        return [_with_marker({"type": "document", **_document(part, where)}, part)]
    refuse(f"{where}.type", "The provider behind this model does not take parts of this type.")
    return []


def _image(part: Object, where: str) -> Object:
    image = image_in(part, where)
    if image.url:
        return {"type": "url", "url": image.url}
    return {"type": "base64", "media_type": image.media_type, "data": image.data}


def _document(part: Object, where: str) -> Object:
    file = file_in(part, where)
    name = part["file"].get("filename")
    title = {"title": name} if isinstance(name, str) and name else {}
    if file.url:
        return {"source": {"type": "url", "url": file.url}, **title}
    if not file.media_type.startswith("text/"):
        source = {"type": "base64", "media_type": file.media_type, "data": file.data}
        return {"source": source, **title}
    try:
        text = base64.b64decode(file.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidField("It must be base64 of UTF-8.", param=f"{where}.file.file_data") from None
    return {"source": {"type": "text", "media_type": "text/plain", "data": text}, **title}


def _assistant(message: Object, where: str) -> list[Object]:
    """Thinking first, then text, then calls: the order that the API demands."""
    blocks = _thinking(message)
    for index, part in enumerate(parts_of(message, where)):
        place = f"{where}.content[{index}]"
        if part["type"] not in ("text", "refusal"):
            refuse(f"{place}.type", "An assistant's message holds text here.")
        blocks += _text(part, place)
    for made in tool_calls_of(message, where):
        made_id = safe_id(made.id)
        call = {"type": "tool_use", "id": made_id, "name": made.name, "input": made.arguments}
        blocks.append(call)
    return blocks


def _thinking(message: Object) -> list[Object]:
    """Signed thinking that an earlier answer held; unsigned reasoning cannot go back."""
    kept: list[Object] = []
    blocks = message.get("thinking_blocks")
    for block in blocks if isinstance(blocks, list) else []:
        if not isinstance(block, dict):
            continue
        if block.get("type") == "redacted_thinking" and isinstance(block.get("data"), str):
            kept.append({"type": "redacted_thinking", "data": block["data"]})
        elif isinstance(block.get("signature"), str) and isinstance(block.get("thinking"), str):
            kept.append(
                {
                    "type": "thinking",
                    "thinking": block["thinking"],
                    "signature": block["signature"],
                }
            )
    return kept


def _tool(message: Object, where: str) -> list[Object]:
    content: list[Object] = []
    for index, part in enumerate(parts_of(message, where)):
        content += _block(part, f"{where}.content[{index}]")
    result: dict[str, Any] = {
        "type": "tool_result",
        "tool_use_id": safe_id(answered_call(message, where)),
    }
    if content:
        is_text = len(content) == 1 and set(content[0]) == {"type", "text"}
        result["content"] = content[0]["text"] if is_text else content
    if message.get("is_error") is True:
        result["is_error"] = True
    return [result]


def safe_id(made: str) -> str:
    """An id of another provider's call, less what that carries in it, in allowed characters."""
    return _NOT_IN_IDS.sub("_", made.partition("__thought__")[0])


_TURNS = {"user": _user, "assistant": _assistant, "tool": _tool}
