"""OpenAI's chat request as the families read it that translate it (not pass it through)."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from apps.providers.adapters.contract import Call
from chatvault.lib.errors import InvalidField, MalformedJson, UnsupportedField

Limit = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=2)]
Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
Object = dict[str, Any]


class ChatRequest(msgspec.Struct):
    """Every member that changes the answer; what is not here is never sent on."""

    messages: list[Object]
    max_tokens: Limit | None = None
    max_completion_tokens: Limit | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Object | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    tools: list[Object] | None = None
    tool_choice: str | Object | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    response_format: Object | None = None
    reasoning_effort: str | None = None
    modalities: list[str] | None = None
    audio: Object | None = None
    web_search_options: Object | None = None
    user: str | None = None
    thinking: Object | None = None  # Anthropic's own
    cache_control: Object | None = None  # Anthropic's own
    service_tier: str | None = None


class Function(msgspec.Struct, frozen=True):
    """A tool that the client offers."""

    name: str
    description: str | None
    parameters: Object
    is_strict: bool
    cache_control: Object | None


_decode = msgspec.json.Decoder(ChatRequest).decode
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_MISSING = re.compile(r"missing required field `(\w+)`")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")


def read_chat(call: Call) -> ChatRequest:
    """Raises MalformedJson, or InvalidField with the member's path as `param`."""
    try:
        request = _decode(call.body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, RecursionError):
        raise MalformedJson from None
    if not request.messages:
        raise InvalidField("It must hold at least one message.", param="messages")
    return request


def _invalid(said: str) -> InvalidField:
    """msgspec's sentence and path as an error of ours."""
    path = _PATH.search(said)
    missing = _MISSING.search(said)
    param = missing.group(1) if missing else path.group(1) if path else None
    return InvalidField(_PATH.sub("", said) + ".", param=param)


def output_limit(call: Call, request: ChatRequest) -> int | None:
    """What the output is limited to: ChatVault's cap, else the client's wish, else nothing."""
    if call.max_output_tokens is not None:
        return call.max_output_tokens
    return request.max_completion_tokens or request.max_tokens


def refuse(param: str, why: str = "The provider behind this model does not support it.") -> None:
    """Raises UnsupportedField."""
    raise UnsupportedField(why, param=param)


def refuse_what_no_translation_has(request: ChatRequest) -> None:
    """Raises UnsupportedField for wishes that would change the answer and cannot be kept."""
    if request.functions:
        refuse("functions", "Deprecated functions are not supported here: send `tools`.")
    if request.logit_bias:
        refuse("logit_bias")
    if request.audio is not None or "audio" in (request.modalities or ()):
        refuse("modalities" if request.audio is None else "audio")
    if request.web_search_options is not None:
        refuse("web_search_options")


def functions_of(request: ChatRequest) -> list[Function]:
    """The offered tools. Raises InvalidField or UnsupportedField for what is none."""
    return [_function(tool, f"tools[{i}]") for i, tool in enumerate(request.tools or [])]


def _function(tool: Object, where: str) -> Function:
    if tool.get("type", "function") != "function":
        refuse(f"{where}.type", "Only tools of type function are supported here.")
    function = tool.get("function")
    if not isinstance(function, dict):
        raise InvalidField("It must be an object.", param=f"{where}.function")
    name = function.get("name")
    if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
        raise InvalidField(
            "It must be a name of letters, digits, _ and -.", param=f"{where}.function.name"
        )
    description = function.get("description")
    if description is not None and not isinstance(description, str):
        raise InvalidField("It must be text.", param=f"{where}.function.description")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise InvalidField("It must be an object.", param=f"{where}.function.parameters")
    cache_control = tool.get("cache_control", function.get("cache_control"))
    return Function(
        name=name,
        description=description,
        parameters=parameters or {"type": "object", "properties": {}},
        is_strict=function.get("strict") is True,
        cache_control=cache_control if isinstance(cache_control, dict) else None,
    )


def forced_name(choice: Object) -> str:
    """The function that a `tool_choice` object names. Raises InvalidField."""
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if choice.get("type") != "function" or not isinstance(name, str):
        raise InvalidField("It must name a function.", param="tool_choice")
    return name


def wanted_schema(request: ChatRequest) -> Object | None:
    """The JSON schema that the answer must satisfy, if the client wants one."""
    wish = request.response_format
    if wish is None or wish.get("type") in ("text", "json_object"):
        return None
    if wish.get("type") != "json_schema":
        raise InvalidField(
            "It must be text, json_object or json_schema.", param="response_format.type"
        )
    told = wish.get("json_schema")
    schema = told.get("schema") if isinstance(told, dict) else None
    if not isinstance(schema, dict):
        raise InvalidField("It must be an object.", param="response_format.json_schema.schema")
    return schema


def wants_any_json(request: ChatRequest) -> bool:
    return (
        request.response_format is not None and request.response_format.get("type") == "json_object"
    )


def stop_sequences(request: ChatRequest) -> list[str]:
    """A list, however the client wrote it."""
    if isinstance(request.stop, str):
        return [request.stop]
    return list(request.stop or [])
