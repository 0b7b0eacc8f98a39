"""OpenAI's request as generateContent (ai.google.dev/api/generate-content)."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

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
from apps.providers.adapters.gemini import schema as schemas
from apps.providers.adapters.gemini.contents import split_system
from apps.providers.adapters.gemini.embeddings import embeddings_body
from apps.providers.adapters.gemini.options import (
    Options,
    is_third,
    read_options,
    schemas_of,
    thinking_of,
    version_of,
)
from chatvault.lib.errors import InvalidField, UpstreamInvalid

_HAS_VERSION = re.compile(r"/v\d+(?:beta|alpha)?\d*(?:/|$)")
_LEVELS = {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high"}
_BUDGETS = {"low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def build_request(call: Call, endpoint: Endpoint) -> UpstreamRequest:
    """Raises UnsupportedField or InvalidField, whose `param` is the member's path."""
    try:
        options = read_options(endpoint.options)
    except ValueError as error:
        raise UpstreamInvalid(f"The deployment's options are not valid: {error}") from None
    if call.operation == "embeddings":
        body, verb = embeddings_body(call, endpoint.model), "batchEmbedContents"
    else:
        body = translate(call, read_chat(call), endpoint.model, options)
        verb = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
    return UpstreamRequest(
        "POST", _url(endpoint, verb), _headers(endpoint, options), msgspec.json.encode(body)
    )


def translate(call: Call, request: ChatRequest, model: str, options: Options) -> Object:
    """The body of the generateContent request."""
    refuse_what_no_translation_has(request)
    if request.logprobs:
        refuse("logprobs")
    system, turns = split_system(request.messages, is_third=is_third(model))
    body: Object = {"contents": turns}
    if system:
        body["systemInstruction"] = {"parts": [{"text": system}]}
    _add_tools(body, request, schemas_of(options, model))
    config = _sampling(call, request)
    _add_format(config, request, schemas_of(options, model))
    thinking = _thinking(request, model, thinking_of(options, model))
    if thinking:
        config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    return body


def _url(endpoint: Endpoint, verb: str) -> str:
    base = endpoint.base_url
    if not _HAS_VERSION.search(base):
        base += "/v1beta"
    model = quote(endpoint.model.removeprefix("models/"), safe="")
    return f"{base}/models/{model}:{verb}"


def _headers(endpoint: Endpoint, options: Options) -> tuple[tuple[str, str], ...]:
    headers = [("content-type", "application/json"), ("user-agent", "chatvault")]
    if endpoint.secret and options.auth == "bearer":
        headers.append(("authorization", f"Bearer {endpoint.secret.reveal()}"))
    elif endpoint.secret:
        headers.append(("x-goog-api-key", endpoint.secret.reveal()))
    return tuple(headers)


def _sampling(call: Call, request: ChatRequest) -> Object:
    config: Object = {
        "maxOutputTokens": output_limit(call, request),
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "seed": request.seed,
        "stopSequences": stop_sequences(request) or None,
        "candidateCount": request.n if (request.n or 1) > 1 else None,
        # Newer models refuse penalties altogether, so one of zero is not sent.
        "presencePenalty": request.presence_penalty or None,
        "frequencyPenalty": request.frequency_penalty or None,
    }
    return {name: value for name, value in config.items() if value is not None}


def _add_format(config: Object, request: ChatRequest, how: str) -> None:
    schema = wanted_schema(request)
    if schema is None and not wants_any_json(request):
        return
    config["responseMimeType"] = "application/json"
    if schema is not None and how == "json":
        config["responseJsonSchema"] = schema
    elif schema is not None:
        where = "response_format.json_schema.schema"
        config["responseSchema"] = schemas.clean(schema, where)


def _add_tools(body: Object, request: ChatRequest, how: str) -> None:
    declared = []
    for index, function in enumerate(functions_of(request)):
        told: Object = {"name": function.name}
        if function.description:
            told["description"] = function.description
        if how == "json":
            told["parametersJsonSchema"] = function.parameters
        elif function.parameters.get("properties"):  # an object without any is refused
            where = f"tools[{index}].function.parameters"
            told["parameters"] = schemas.clean(function.parameters, where)
        declared.append(told)
    if not declared:
        return
    body["tools"] = [{"functionDeclarations": declared}]
    wish = request.tool_choice
    if isinstance(wish, dict):
        config: Object = {"mode": "ANY", "allowedFunctionNames": [forced_name(wish)]}
    elif wish is None:
        return
    elif wish in _MODES:
        config = {"mode": _MODES[wish]}
    else:
        raise InvalidField("It must be none, auto, required or an object.", param="tool_choice")
    body["toolConfig"] = {"functionCallingConfig": config}


def _thinking(request: ChatRequest, model: str, how: str) -> Object | None:
    """An effort as a level or a budget, whichever the model takes."""
    wish = request.thinking
    if wish is not None:
        if wish.get("type") == "disabled":
            return {"thinkingBudget": 0, "includeThoughts": False}
        budget = wish.get("budget_tokens")
        given = {"thinkingBudget": budget} if isinstance(budget, int) else {}
        return {**given, "includeThoughts": True}
    effort = request.reasoning_effort
    if effort is None:
        return None
    if effort not in ("none", "minimal", *_BUDGETS):
        known = ", ".join(("none", "minimal", *_BUDGETS))
        raise InvalidField(f"It must be one of: {known}.", param="reasoning_effort")
    if how == "level":
        least = "minimal" if "flash" in model else "low"  # only Flash knows the least level
        level = {"none": least, "minimal": least}.get(effort, _LEVELS.get(effort, "high"))
        return {"thinkingLevel": level, "includeThoughts": effort != "none"}
    if effort == "none":
        return {"thinkingBudget": 0, "includeThoughts": False}
    least_budget = _least_budget(model)
    return {"thinkingBudget": _BUDGETS.get(effort, least_budget), "includeThoughts": True}


def _least_budget(model: str) -> int:
    """The smallest budget that the model takes (ai.google.dev/gemini-api/docs/thinking)."""
    if "flash-lite" in model:
        return 512
    return 1 if "flash" in model and version_of(model) == (2, 5) else 128
