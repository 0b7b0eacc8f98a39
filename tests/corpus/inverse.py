"""From recorded Anthropic and Gemini requests to the OpenAI requests that fit them.

What OpenAI's format has no word for is left out: server tools, thinking, containers, caches.
The recorded answer is served all the same, so that its unusual parts are met.
"""

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def openai_request(record: Any) -> Json:
    """A request in OpenAI's format that asks for what the record's request asks for."""
    made = _from_gemini(record.request) if "contents" in record.request else _from_anthropic(record)
    if record.is_stream:
        made |= {"stream": True, "stream_options": {"include_usage": True}}
    return made


# Anthropic


def _from_anthropic(record: Any) -> Json:
    body = record.request
    messages: list[Json] = []
    if body.get("system"):
        messages.append({"role": "system", "content": _text_of(body["system"])})
    for message in body["messages"]:
        messages += _anthropic_message(message)
    made: Json = {"messages": messages, "max_tokens": body["max_tokens"]}
    if "temperature" in body:
        made["temperature"] = body["temperature"]
    tools = [_anthropic_tool(tool) for tool in body.get("tools", []) if "input_schema" in tool]
    if tools:
        made["tools"] = tools
        made |= _anthropic_choice(body.get("tool_choice"))
    return made


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def _anthropic_message(message: Json) -> Iterator[Json]:
    role, content = message["role"], message["content"]
    if isinstance(content, str) or role == "system":
        if text := _text_of(content):
            yield {"role": role, "content": text}
        return
    if role == "assistant":
        yield from _assistant(
            [part["text"] for part in content if part["type"] == "text"],
            [
                _call(part["id"], part["name"], part["input"])
                for part in content
                if part["type"] == "tool_use"
            ],
        )
        return
    for part in content:
        if part["type"] == "tool_result":
            text = _text_of(part["content"]) if part.get("content") else ""
            yield {"role": "tool", "tool_call_id": part["tool_use_id"], "content": text}
    parts = [made for part in content if (made := _anthropic_part(part))]
    if parts:
        yield {"role": "user", "content": parts}


def _anthropic_part(part: Json) -> Json | None:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "image":
            return {"type": "image_url", "image_url": {"url": _source_url(part["source"])}}
        case "document" if part["source"]["type"] == "base64":
            data = _source_url(part["source"])
            return {"type": "file", "file": {"filename": "file.pdf", "file_data": data}}
        case "document" if part["source"]["type"] == "text":
            return {"type": "text", "text": part["source"]["data"]}
    return None


def _source_url(source: Json) -> str:
    if source["type"] == "url":
        return str(source["url"])
    return f"data:{source['media_type']};base64,{source['data']}"


def _anthropic_tool(tool: Json) -> Json:
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    if "description" in tool:
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _anthropic_choice(choice: Json | None) -> Json:
    made: Json = {}
    match (choice or {}).get("type"):
        case "auto":
            made["tool_choice"] = "auto"
        case "any":
            made["tool_choice"] = "required"
        case "none":
            made["tool_choice"] = "none"
        case "tool":
            forced = {"name": (choice or {})["name"]}
            made["tool_choice"] = {"type": "function", "function": forced}
    if (choice or {}).get("disable_parallel_tool_use"):
        made["parallel_tool_calls"] = False
    return made


# Gemini


def _from_gemini(body: Json) -> Json:
    messages: list[Json] = []
    if body.get("systemInstruction"):
        text = "\n".join(part["text"] for part in body["systemInstruction"]["parts"])
        messages.append({"role": "system", "content": text})
    pending: list[str] = []
    for at, turn in enumerate(body["contents"]):
        messages += _gemini_turn(turn, at, pending)
    made: Json = {"messages": messages}
    settings = body.get("generationConfig") or {}
    names = {"maxOutputTokens": "max_tokens", "temperature": "temperature", "topP": "top_p"}
    made |= {ours: settings[theirs] for theirs, ours in names.items() if theirs in settings}
    schema = settings.get("responseJsonSchema") or settings.get("responseSchema")
    if schema:
        named = {"name": "answer", "schema": _lower(schema)}
        made["response_format"] = {"type": "json_schema", "json_schema": named}
    declared = [one for tool in body.get("tools") or [] for one in _declarations(tool)]
    if declared:
        made["tools"] = [_gemini_tool(one) for one in declared]
        made |= _gemini_choice(body.get("toolConfig") or {})
    return made


def _declarations(tool: Json) -> list[Json]:
    found: list[Json] = tool.get("functionDeclarations") or []
    return found


def _gemini_turn(turn: Json, at: int, pending: list[str]) -> Iterator[Json]:
    """Gemini's calls may have no ids; `pending` holds the ids of those without an answer."""
    parts = turn["parts"]
    if turn.get("role") == "model":
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        made = [_call(call.get("id") or f"call_{at}_{n}", call["name"], call.get("args") or {})
                for n, call in enumerate(calls)]  # fmt: skip
        pending += [call["id"] for call in made]
        texts = [part["text"] for part in parts if "text" in part and not part.get("thought")]
        yield from _assistant(texts, made)
        return
    for part in parts:
        if "functionResponse" in part:
            told = part["functionResponse"]
            call_id = told["id"] if told.get("id") in pending else pending[0]
            pending.remove(call_id)
            answer = json.dumps(told["response"])
            yield {"role": "tool", "tool_call_id": call_id, "content": answer}
    made_parts = [one for part in parts if (one := _gemini_part(part))]
    if made_parts:
        yield {"role": "user", "content": made_parts}


def _gemini_part(part: Json) -> Json | None:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    if "inlineData" in part:
        data = part["inlineData"]
        url = f"data:{data['mimeType']};base64,{data['data']}"
        if data["mimeType"].startswith("image/"):
            return {"type": "image_url", "image_url": {"url": url}}
        return {"type": "file", "file": {"filename": "file", "file_data": url}}
    return None


def _gemini_tool(declared: Json) -> Json:
    schema = declared.get("parametersJsonSchema") or declared.get("parameters_json_schema")
    function = {
        "name": declared["name"],
        "parameters": schema or _lower(declared.get("parameters") or {"type": "object"}),
    }
    if declared.get("description"):
        function["description"] = declared["description"]
    return {"type": "function", "function": function}


def _gemini_choice(config: Json) -> Json:
    calling = config.get("functionCallingConfig") or {}
    allowed = calling.get("allowedFunctionNames") or []
    match calling.get("mode"):
        case "ANY" if len(allowed) == 1:
            return {"tool_choice": {"type": "function", "function": {"name": allowed[0]}}}
        case "ANY":
            return {"tool_choice": "required"}
        case "NONE":
            return {"tool_choice": "none"}
        case "AUTO":
            return {"tool_choice": "auto"}
    return {}


def _lower(schema: Any) -> Any:
    """Gemini's schema spells types in capitals."""
    if isinstance(schema, list):
        return [_lower(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _lower(value) for key, value in schema.items()}
    if isinstance(schema.get("type"), str):
        made["type"] = schema["type"].lower()
    return made


# both


def _assistant(texts: list[str], calls: list[Json]) -> Iterator[Json]:
    """Nothing at all when the turn held only what OpenAI has no word for."""
    if texts or calls:
        message: Json = {"role": "assistant", "content": "\n".join(texts) or None}
        if calls:
            message["tool_calls"] = calls
        yield message


def _call(call_id: str, name: str, arguments: Any) -> Json:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
