"""OpenAI's embeddings as batchEmbedContents (ai.google.dev/api/embeddings)."""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Any, Literal

import msgspec

from apps.providers.adapters.chat_answer import encode
from apps.providers.adapters.chat_request import Object, refuse
from apps.providers.adapters.contract import Answer, Call, Usage
from apps.providers.adapters.counts import Count
from chatvault.lib.errors import InvalidField, MalformedJson, UpstreamInvalid


class _Request(msgspec.Struct):
    input: str | list[Any]
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=65536)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class _Embedding(msgspec.Struct):
    values: list[float]


class _UsageMetadata(msgspec.Struct):
    prompt_token_count: Count | None = msgspec.field(default=None, name="promptTokenCount")


class _Answer(msgspec.Struct):
    embeddings: list[_Embedding]
    usage: _UsageMetadata | None = msgspec.field(default=None, name="usageMetadata")


_decode = msgspec.json.Decoder(_Request).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode


def embeddings_body(call: Call, model: str) -> Object:
    """Raises InvalidField or UnsupportedField with the member's path."""
    request = _read(call)
    texts = [request.input] if isinstance(request.input, str) else request.input
    if not texts:
        raise InvalidField("It must not be empty.", param="input")
    size = {"outputDimensionality": request.dimensions} if request.dimensions else {}
    requests = []
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            refuse(f"input[{index}]", "The provider behind this model takes text, not tokens.")
        content = {"parts": [{"text": text}]}
        name = f"models/{model.removeprefix('models/')}"
        requests.append({"model": name, "content": content, **size})
    return {"requests": requests}


def _read(call: Call) -> _Request:
    try:
        return _decode(call.body)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `$.")
        raise InvalidField(f"{said}.", param=path.rstrip("`") or "input") from None
    except (msgspec.DecodeError, RecursionError):
        raise MalformedJson from None


def read_embeddings(call: Call, body: bytes) -> Answer:
    """Raises UpstreamInvalid for a 200 that is no answer. Older models tell no usage."""
    try:
        told = _decode_answer(body)
    except (msgspec.DecodeError, RecursionError):
        raise UpstreamInvalid from None
    packs = _read(call).encoding_format == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(item.values, packs)}
        for index, item in enumerate(told.embeddings)
    ]
    tokens = told.usage.prompt_token_count if told.usage else None
    usage = None if tokens is None else Usage(input_tokens=tokens)
    shown = {"prompt_tokens": tokens or 0, "total_tokens": tokens or 0}
    answer = {"object": "list", "data": data, "model": call.alias, "usage": shown}
    return Answer(encode(answer), usage)


def _vector(values: list[float], packs: bool) -> list[float] | str:
    if not packs:
        return values
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
