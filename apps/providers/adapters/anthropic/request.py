"""OpenAI's chat request as POST /v1/messages (platform.claude.com/docs/en/api/messages)."""

from __future__ import annotations

import msgspec

from apps.providers.adapters.anthropic.messages import split_system
from apps.providers.adapters.anthropic.options import (
    Options,
    default_max_tokens_of,
    read_options,
    structured_output_of,
    thinking_of,
)
from apps.providers.adapters.anthropic.schema import clean
from apps.providers.adapters.chat_request import (
    ChatRequest,
    Object,
    forced_name,
    functions_of,
    output_limit,
    read_chat,
    refuse,
    refuse_what_no_translation_has,
    stop_sequences,
    wanted_schema,
    wants_any_json,
)
from apps.providers.adapters.contract import Call, Endpoint, UpstreamRequest
from chatvault.lib.errors import InvalidField, UpstreamInvalid

# The tool that stands for a JSON schema where the model has no structured outputs.
JSON_TOOL = "chatvault_json_answer"

MIN_THINKING = 1024
_BUDGETS = {
    "minimal": MIN_THINKING,
    "low": MIN_THINKING,
    "medium": 2048,
    "high": 4096,
    "xhigh": 8192,
    "max": 16384,
}
_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_ASK_FOR_JSON = "Answer with one JSON object and nothing else."


def build_request(call: Call, endpoint: Endpoint) -> UpstreamRequest:
    """Raises UnsupportedField or InvalidField, whose `param` is the member's path."""
    try:
        options = read_options(endpoint.options)
    except ValueError as error:
        raise UpstreamInvalid(f"The deployment's options are not valid: {error}") from None
    request = read_chat(call)
    body = translate(call, request, endpoint.model, options)
    url = f"{endpoint.base_url.removesuffix('/v1')}/v1/messages"
    return UpstreamRequest("POST", url, _headers(endpoint, options), msgspec.json.encode(body))


def translate(call: Call, request: ChatRequest, model: str, options: Options) -> Object:
    """The body of the Messages request."""
    _refuse(request)
    system, turns = split_system(request.messages)
    if wants_any_json(request):
        system = [*system, {"type": "text", "text": _ASK_FOR_JSON}]
    body: Object = {
        "model": model,
        "max_tokens": output_limit(call, request) or default_max_tokens_of(options, model),
        "messages": turns,
    }
    if system:
        body["system"] = system
    _add_sampling(body, request)
    _add_tools(body, request, turns)
    schema = wanted_schema(request)
    if schema is not None:
        _add_schema(body, schema, structured_output_of(options, model))
    _add_thinking(body, request, thinking_of(options, model))
    if call.stream:
        body["stream"] = True
    return body


def _headers(endpoint: Endpoint, options: Options) -> tuple[tuple[str, str], ...]:
    headers = [
        ("content-type", "application/json"),
        ("user-agent", "chatvault"),
        ("anthropic-version", options.anthropic_version),
    ]
    if options.anthropic_beta:
        headers.append(("anthropic-beta", options.anthropic_beta))
    if endpoint.secret and options.auth == "bearer":
        headers.append(("authorization", f"Bearer {endpoint.secret.reveal()}"))
    elif endpoint.secret:
        headers.append(("x-api-key", endpoint.secret.reveal()))
    return tuple(headers)


def _refuse(request: ChatRequest) -> None:
    refuse_what_no_translation_has(request)
    if (request.n or 1) > 1:
        refuse("n", "The provider behind this model gives one choice only.")
    if request.logprobs:
        refuse("logprobs")
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(request, name):
            refuse(name)


def _add_sampling(body: Object, request: ChatRequest) -> None:
    if request.temperature is not None:
        body["temperature"] = min(request.temperature, 1.0)  # OpenAI's scale ends at 2
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    stops = [stop for stop in stop_sequences(request) if stop.strip()]  # blank ones are refused
    if stops:
        body["stop_sequences"] = stops
    if request.cache_control is not None:
        body["cache_control"] = request.cache_control
    if request.user and "@" not in request.user:  # the vendor wants no identifying names
        body["metadata"] = {"user_id": request.user}
    if request.service_tier in ("auto", "standard_only"):
        body["service_tier"] = request.service_tier


def _add_tools(body: Object, request: ChatRequest, turns: list[Object]) -> None:
    tools = []
    for function in functions_of(request):
        schema = function.parameters
        tool: Object = {
            "name": function.name,
            "input_schema": schema
            if schema.get("type") == "object"
            else {**schema, "type": "object"},
        }
        if function.description:
            tool["description"] = function.description
        if function.is_strict:
            tool["strict"] = True
        if function.cache_control:
            tool["cache_control"] = function.cache_control
        tools.append(tool)
    if tools:
        body["tools"] = tools
        choice = _tool_choice(request)
        if choice is not None:
            body["tool_choice"] = choice
    elif used := _used_tools(turns):  # a history with calls is refused without their tools
        body["tools"] = [{"name": name, "input_schema": {"type": "object"}} for name in used]
        body["tool_choice"] = {"type": "none"}


def _used_tools(turns: list[Object]) -> list[str]:
    names = {
        block["name"]: True
        for turn in turns
        for block in turn["content"]
        if block["type"] == "tool_use"
    }
    return list(names)


def _tool_choice(request: ChatRequest) -> Object | None:
    wish = request.tool_choice
    choice: Object | None = None
    if isinstance(wish, dict):
        choice = {"type": "tool", "name": forced_name(wish)}
    elif wish is not None:
        kinds = {"auto": "auto", "required": "any", "none": "none"}
        if wish not in kinds:
            raise InvalidField("It must be none, auto, required or an object.", param="tool_choice")
        choice = {"type": kinds[wish]}
    if request.parallel_tool_calls is not None:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return choice


def _add_schema(body: Object, schema: Object, how: str) -> None:
    if how == "native":
        body["output_config"] = {"format": {"type": "json_schema", "schema": clean(schema)}}
        return
    tool: Object = {
        "name": JSON_TOOL,
        "description": "Gives the answer. Its input is the answer.",
        "input_schema": schema if schema.get("type") == "object" else {"type": "object", **schema},
    }
    body["tools"] = [*body.get("tools", []), tool]
    if len(body["tools"]) == 1:
        body["tool_choice"] = {"type": "tool", "name": JSON_TOOL}
    elif body.get("tool_choice", {"type": "auto"})["type"] in ("auto", "none"):
        body["tool_choice"] = {"type": "any"}  # either a tool of the client's, or the answer


def _add_thinking(body: Object, request: ChatRequest, how: str) -> None:
    """Anthropic's own `thinking` goes as it is; an effort becomes what the model takes."""
    effort = request.reasoning_effort
    if request.thinking is not None:
        body["thinking"] = request.thinking
        return
    if effort is None or effort == "none":
        return
    if effort not in _EFFORTS:
        raise InvalidField(
            f"It must be none or one of: {', '.join(_EFFORTS)}.", param="reasoning_effort"
        )
    if how == "adaptive":
        body["output_config"] = {**body.get("output_config", {}), "effort": _EFFORTS[effort]}
        if _may_think(body):
            body["thinking"] = {"type": "adaptive", "display": "summarized"}
        return
    budget = min(_BUDGETS[effort], body["max_tokens"] - 1)
    if budget >= MIN_THINKING and _may_think(body):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        for name in ("temperature", "top_k"):  # fixed while the model thinks
            body.pop(name, None)


def _may_think(body: Object) -> bool:
    """The API refuses to think under a forced tool, or on after calls made without thinking."""
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        return False
    for turn in reversed(body["messages"]):
        kinds = [block["type"] for block in turn["content"]]
        if turn["role"] == "assistant":
            return "tool_use" not in kinds or kinds[0] in ("thinking", "redacted_thinking")
        if "tool_result" not in kinds:
            return True
    return True
