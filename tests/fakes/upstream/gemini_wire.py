"""Gemini's generateContent API (ai.google.dev/api/generate-content)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.upstream.answers import (
    Answer,
    Event,
    Failure,
    ToolCall,
    Usage,
    UsageMode,
    prompt_tokens,
    sample_json,
)
from tests.fakes.upstream.openai_wire import Json, clip, compact, echo, vector_of

_FINISH = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def refusal(body: Json, headers: Mapping[str, str]) -> Failure | None:
    if not any(name in body for name in ("contents", "requests", "content")):
        return Failure(400, "* GenerateContentRequest.contents: contents is not specified")
    for turn in body.get("contents") or []:
        if turn.get("role") not in (None, "user", "model", "function"):
            return Failure(400, "Please use a valid role: user, model.")
    return None


def failure(error: Failure) -> bytes:
    status = _STATUS.get(error.status, "UNKNOWN")
    fields = {"code": error.status, "message": error.message, "status": status}
    return _pretty({"error": fields})


def default_answer(body: Json) -> Answer:
    last = (body.get("contents") or [{}])[-1]
    declared = [
        function
        for tool in body.get("tools") or []
        for function in tool.get("functionDeclarations") or tool.get("function_declarations") or []
    ]
    config = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if declared and config.get("mode") != "NONE" and not _has_result(last):
        return Answer(tool_calls=(_called(declared, config),), finish="tool_calls")
    settings = body.get("generationConfig") or {}
    schema = settings.get("responseSchema") or settings.get("responseJsonSchema")
    if schema:
        return Answer((sample_json(schema),))
    if settings.get("responseMimeType") == "application/json":
        return Answer(('{"ok":', "true}"))
    return clip(echo(last), settings.get("maxOutputTokens"))


def _has_result(turn: Json) -> bool:
    return any("functionResponse" in part for part in turn.get("parts", []))


def _called(declared: list[Json], config: Json) -> ToolCall:
    allowed = config.get("allowedFunctionNames")
    function = next(one for one in declared if not allowed or one["name"] in allowed)
    schema = function.get("parameters") or function.get("parametersJsonSchema")
    return ToolCall(function["name"], sample_json(schema or {}))


def _usage(body: Json, answer: Answer) -> Usage:
    return answer.usage or Usage(prompt_tokens(body), answer.tokens * _count(body))


def _count(body: Json) -> int:
    return int((body.get("generationConfig") or {}).get("candidateCount") or 1)


def _usage_json(usage: Usage) -> Json:
    """Gemini counts thoughts beside the candidates' tokens, not among them."""
    fields: Json = {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": usage.completion - usage.reasoning,
        "totalTokenCount": usage.prompt + usage.completion,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage.prompt}],
    }
    if usage.reasoning:
        fields["thoughtsTokenCount"] = usage.reasoning
    if usage.cached:
        fields["cachedContentTokenCount"] = usage.cached
    return fields


def _candidate(parts: list[Json], index: int, finish: str | None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}}
    if finish is not None:
        candidate["finishReason"] = _FINISH[finish]
    return candidate | {"index": index}


def _reply(body: Json, number: int, candidates: list[Json], usage: Usage | None) -> Json:
    fields: Json = {"candidates": candidates}
    if usage is not None:
        fields["usageMetadata"] = _usage_json(usage)
    return fields | {"modelVersion": body.get("model"), "responseId": f"fake{number}"}


def _calls(answer: Answer) -> list[Json]:
    return [
        {"functionCall": {"name": call.name, "args": json.loads(call.arguments)}}
        for call in answer.tool_calls
    ]


def whole(body: Json, answer: Answer, number: int) -> bytes:
    texts: list[Json] = [{"text": answer.text}] if answer.pieces else []
    parts = texts + _calls(answer)
    candidates = [_candidate(parts, index, answer.finish) for index in range(_count(body))]
    is_told = answer.usage_mode not in (UsageMode.NONE, UsageMode.NULL)
    fields = _reply(body, number, candidates, _usage(body, answer) if is_told else None)
    if answer.usage_mode is UsageMode.NULL:
        fields["usageMetadata"] = None
    return _pretty(fields)


def events(body: Json, answer: Answer, number: int) -> Iterator[Event]:
    """Usage is on every chunk and grows, as Gemini does; the last chunk tells the total."""
    usage = _usage(body, answer)
    is_told = answer.usage_mode not in (UsageMode.NONE, UsageMode.NULL)
    sent = 0
    for piece in answer.pieces:
        sent += 1
        now = Usage(usage.prompt, sent) if is_told else None
        yield Event(_chunk(body, number, [{"text": piece}], None, now), 1)
    calls = _calls(answer)
    size = answer.tokens - sent
    last = usage if is_told else None
    yield Event(_chunk(body, number, calls or [{"text": ""}], answer.finish, last), size)
    if answer.usage_mode is UsageMode.DECREASING:
        less = Usage(usage.prompt, usage.completion // 2)
        yield Event(_chunk(body, number, [{"text": ""}], answer.finish, less))
    elif answer.usage_mode is UsageMode.TWICE:
        yield Event(_chunk(body, number, [{"text": ""}], answer.finish, usage))


def _chunk(
    body: Json, number: int, parts: list[Json], finish: str | None, usage: Usage | None
) -> bytes:
    fields = _reply(body, number, [_candidate(parts, 0, finish)], usage)
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\r\n\r\n"


def error_event(error: Failure) -> bytes:
    return b"data: " + compact(json.loads(failure(error))) + b"\r\n\r\n"


def embeddings(body: Json, *, is_batch: bool) -> bytes:
    contents = [one["content"] for one in body["requests"]] if is_batch else [body["content"]]
    values = [{"values": vector_of(_text(content))} for content in contents]
    return _pretty({"embeddings": values} if is_batch else {"embedding": values[0]})


def _text(content: Json) -> str:
    return "".join(part.get("text", "") for part in content["parts"])


def models(names: list[str]) -> bytes:
    methods = ["generateContent", "countTokens"]
    data = [
        {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
        for name in names
    ]
    return _pretty({"models": data})


def _pretty(fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False, indent=2).encode() + b"\n"
