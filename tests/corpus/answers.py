"""What a recorded answer says, in words that all providers share."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.corpus.records import Kind, Record

_ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "compaction": "stop",
}
_GEMINI_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "BLOCKLIST": "content_filter",
    "MALFORMED_FUNCTION_CALL": "stop",
}
Json = dict[str, Any]


@dataclass
class Said:
    """Text, calls of the client's own tools as (name, arguments), and why the model ended."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = "stop"


def said_in(record: Record) -> Said:
    if record.kind is Kind.GEMINI:
        return _gemini(record)
    return _anthropic_stream(record) if record.is_stream else _anthropic(record.json)


def _anthropic(body: Json) -> Said:
    said = Said(finish=_ANTHROPIC_FINISH[body["stop_reason"]])
    for block in body["content"]:
        if block["type"] == "text":
            said.text += block["text"]
        elif block["type"] == "tool_use":
            said.calls.append((block["name"], block["input"]))
    return said


def _anthropic_stream(record: Record) -> Said:
    said, blocks = Said(), {}
    for name, data in record.events:
        if name == "content_block_start" and data["content_block"]["type"] == "tool_use":
            blocks[data["index"]] = [data["content_block"]["name"], ""]
        elif name == "content_block_delta":
            delta = data["delta"]
            if delta["type"] == "text_delta":
                said.text += delta["text"]
            elif delta["type"] == "input_json_delta" and data["index"] in blocks:
                blocks[data["index"]][1] += delta["partial_json"]
        elif name == "message_delta":
            said.finish = _ANTHROPIC_FINISH[data["delta"]["stop_reason"]]
    said.calls = [(name, json.loads(text or "{}")) for name, text in blocks.values()]
    return said


def _gemini(record: Record) -> Said:
    said, finish = Said(), "STOP"
    chunks = [data for _, data in record.events] if record.is_stream else [record.json]
    for chunk in chunks:
        for candidate in chunk.get("candidates", [])[:1]:
            finish = candidate.get("finishReason", finish)
            for part in candidate.get("content", {}).get("parts", []):
                if "text" in part and not part.get("thought"):
                    said.text += part["text"]
                elif "functionCall" in part:
                    call = part["functionCall"]
                    said.calls.append((call["name"], call.get("args") or {}))
    said.finish = _GEMINI_FINISH[finish]
    if said.calls and said.finish == "stop":
        said.finish = "tool_calls"
    return said
