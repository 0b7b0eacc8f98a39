"""OpenAI's messages as Gemini's contents: system apart, turns merged, results by name."""

from __future__ import annotations

import mimetypes
from typing import Any

import msgspec

from apps.providers.adapters.chat_content import (
    Blob,
    answered_call,
    file_in,
    image_in,
    parts_of,
    role_of,
    text_in,
    text_of,
    tool_calls_of,
)
from apps.providers.adapters.chat_request import Object, refuse
from apps.providers.adapters.gemini import signatures
from chatvault.lib.errors import InvalidField

_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}


def split_system(messages: list[Object], *, is_third: bool) -> tuple[str, list[Object]]:
    """The system text and the turns. Raises InvalidField or UnsupportedField with a path."""
    system: list[str] = []
    turns: list[Object] = []
    names: dict[str, str] = {}  # of the functions, by the ids of their calls
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = role_of(message, where)
        if role in ("system", "developer"):
            system.append(text_of(message, where))
        elif role == "assistant":
            _add(turns, "model", _model(message, where, names, is_third))
        elif role == "tool":
            _add(turns, "user", _result(message, where, names, is_third))
        else:
            _add(turns, "user", _user(message, where))
    if not turns:
        raise InvalidField("It must hold a message of the user.", param="messages")
    return "\n\n".join(text for text in system if text), turns


def _add(turns: list[Object], role: str, parts: list[Object]) -> None:
    if not parts:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["parts"] += parts
    else:
        turns.append({"role": role, "parts": parts})


def _user(message: Object, where: str) -> list[Object]:
    parts: list[Object] = []
    for index, part in enumerate(parts_of(message, where)):
        parts += _part(part, f"{where}.content[{index}]")
    return parts


def _part(part: Object, where: str) -> list[Object]:
    kind = part["type"]
    if kind == "text":
        text = text_in(part, where)
        return [{"text": text}] if text else []
    if kind == "image_url":
        return [_media(image_in(part, where))]
    if kind == "file":
        return [_media(file_in(part, where))]
    if kind == "input_audio":
        return [_audio(part, where)]
    refuse(f"{where}.type", "The provider behind this model does not take parts of this type.")
    return []


def _media(blob: Blob) -> Object:
    if not blob.url:
        return {"inlineData": {"mimeType": blob.media_type, "data": blob.data}}
    guessed, _ = mimetypes.guess_type(blob.url.partition("?")[0])
    kind = {"mimeType": guessed} if guessed else {}
    return {"fileData": {"fileUri": blob.url, **kind}}


def _audio(part: Object, where: str) -> Object:
    audio = part.get("input_audio")
    kind = _AUDIO.get(str(audio.get("format"))) if isinstance(audio, dict) else None
    if kind is None or not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        place = f"{where}.input_audio"
        raise InvalidField("It must hold data and a format, wav or mp3.", param=place)
    return {"inlineData": {"mimeType": kind, "data": audio["data"]}}


def _model(message: Object, where: str, names: dict[str, str], is_third: bool) -> list[Object]:
    text = text_of(message, where)
    parts: list[Object] = [{"text": text}] if text else []
    for position, made in enumerate(tool_calls_of(message, where)):
        bare, signature = signatures.split(made.id)
        names[bare] = made.name
        call: Object = {"name": made.name, "args": made.arguments}
        part: Object = {"functionCall": call}
        if is_third:
            call["id"] = bare
            if signature is None and position == 0:  # the first call of a step must be signed
                signature = signatures.UNSIGNED
        if signature is not None:
            part["thoughtSignature"] = signature
        parts.append(part)
    return parts


def _result(message: Object, where: str, names: dict[str, str], is_third: bool) -> list[Object]:
    bare, _ = signatures.split(answered_call(message, where))
    if bare not in names:
        raise InvalidField("No earlier message makes this call.", param=f"{where}.tool_call_id")
    texts: list[str] = []
    media: list[Object] = []
    for index, part in enumerate(parts_of(message, where)):
        for made in _part(part, f"{where}.content[{index}]"):
            if "text" in made:
                texts.append(made["text"])
            else:
                media.append(made)
    told: Object = {"name": names[bare], "response": _response("\n".join(texts))}
    if is_third:
        told["id"] = bare
    return [{"functionResponse": told}, *media]


def _response(text: str) -> Any:
    """The API takes objects: one as it is, anything else as its `output`."""
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        told = text
    return told if isinstance(told, dict) else {"output": told}
