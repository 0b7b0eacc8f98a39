"""Step 1. Read from the body the few fields that decisions need; the rest stays untouched."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from apps.gateway.contracts import GatewayRequest
from apps.gateway.tags import with_metadata
from chatvault.lib.errors import BadRequest, InvalidField, MalformedJson

Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


NOT_THERE: Final = msgspec.Raw()


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatFields(msgspec.Struct):
    model: Name
    messages: msgspec.Raw
    stream: bool | None = None
    n: Choices | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    stream_options: StreamOptions | None = None
    metadata: msgspec.Raw = NOT_THERE


class CompletionFields(msgspec.Struct):
    model: Name
    stream: bool | None = None
    n: Choices | None = None
    best_of: Choices | None = None
    max_tokens: Count | None = None
    stream_options: StreamOptions | None = None
    metadata: msgspec.Raw = NOT_THERE


class EmbeddingFields(msgspec.Struct):
    model: Name
    input: msgspec.Raw
    metadata: msgspec.Raw = NOT_THERE


_chat = msgspec.json.Decoder(ChatFields)
_completions = msgspec.json.Decoder(CompletionFields)
_embeddings = msgspec.json.Decoder(EmbeddingFields)


def receive(request: GatewayRequest) -> None:
    """Fill the request's fields from its body.

    Raises MalformedJson, InvalidField (with `param`) or BadRequest; all are 400.
    """
    try:
        if not request.body.isascii():
            request.body.decode()  # fields that nobody reads are passed on as they are
        if request.operation == "chat":
            _receive_chat(request)
        elif request.operation == "completions":
            _receive_completions(request)
        else:
            _receive_embeddings(request)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(request.body, error) from None


def _receive_chat(request: GatewayRequest) -> None:
    fields = _chat.decode(request.body)
    if bytes(fields.messages)[:1] != b"[":
        raise InvalidField("'messages' must be an array of messages.", param="messages")
    request.alias = fields.model
    if fields.stream:
        request.stream = True
        options = fields.stream_options
        request.wants_usage = options is not None and bool(options.include_usage)
    elif fields.stream_options is not None:
        raise InvalidField(
            "'stream_options' is only allowed when 'stream' is true.", param="stream_options"
        )
    if fields.n is not None:
        request.choices = fields.n
    newer, older = fields.max_completion_tokens, fields.max_tokens
    if newer and older:  # which of the two binds is the provider's choice
        newer = max(newer, older)
    request.max_output_tokens = newer or older
    if fields.metadata:
        request.tags = with_metadata(request.tags, fields.metadata)


def _receive_completions(request: GatewayRequest) -> None:
    fields = _completions.decode(request.body)
    request.alias = fields.model
    request.stream = bool(fields.stream)
    options = fields.stream_options
    request.wants_usage = request.stream and options is not None and bool(options.include_usage)
    request.choices = max(fields.n or 1, fields.best_of or 1) * _prompts(request.body)
    request.max_output_tokens = fields.max_tokens
    if fields.metadata:
        request.tags = with_metadata(request.tags, fields.metadata)


def _receive_embeddings(request: GatewayRequest) -> None:
    fields = _embeddings.decode(request.body)
    request.alias = fields.model
    if fields.metadata:
        request.tags = with_metadata(request.tags, fields.metadata)


def _prompts(body: bytes) -> int:
    """How many prompts one body carries: each is answered on its own."""
    raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get("prompt")
    if raw is None or bytes(raw)[:1] != b"[":
        return 1
    members = msgspec.json.decode(raw, type=list[msgspec.Raw])
    if members and bytes(members[0])[:1] in (b'"', b"["):
        return len(members)
    return 1


def _invalid_field(message: str) -> BadRequest:
    """msgspec says "Expected `int`, got `str` - at `$.n`"; callers get the field by name."""
    reason, _, path = message.partition(" - at `$")
    if reason.startswith("Object missing required field"):
        name = reason.split("`")[1]
        return InvalidField(f"The field '{name}' is required.", param=name)
    param = path.rstrip("`").lstrip(".")
    if not param:
        return BadRequest(f"The body must be a JSON object. {reason}.")
    return InvalidField(f"Invalid value for '{param}': {_plain(reason)}.", param=param)


def _plain(reason: str) -> str:
    return reason[:1].lower() + reason[1:].replace("`", "")


def _malformed(body: bytes, error: Exception) -> BadRequest:
    if not body:
        return MalformedJson("The body is empty; it must be a JSON object.")
    if isinstance(error, RecursionError):
        return MalformedJson("The body is nested too deeply.")
    if isinstance(error, UnicodeDecodeError):
        return MalformedJson("The body is not valid UTF-8.")
    if str(error).startswith("Input data was truncated"):
        return MalformedJson(
            "The body is not valid JSON: it ends too early, or a string in it holds half of a "
            "surrogate pair."
        )
    return MalformedJson(f"The body is not valid JSON: {error}.")
