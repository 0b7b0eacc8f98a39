"""Anthropic's stream events as OpenAI's chunks.

Source: platform.claude.com/docs/en/build-with-claude/streaming.
"""

from __future__ import annotations

from typing import Any

from apps.providers.adapters.anthropic.error import event_refusal
from apps.providers.adapters.anthropic.request import JSON_TOOL
from apps.providers.adapters.anthropic.response import finish_reason
from apps.providers.adapters.anthropic.usage import merge, read_usage, service_tier
from apps.providers.adapters.chat_answer import encode, tool_call
from apps.providers.adapters.contract import Call, Endpoint
from apps.providers.adapters.counts import later
from apps.providers.adapters.translated_stream import TranslatedStream
from chatvault.lib.errors import UpstreamInvalid


def open_stream(call: Call, endpoint: Endpoint) -> AnthropicStream:
    return AnthropicStream(call, endpoint.model)


class AnthropicStream(TranslatedStream):
    """The StreamReader of this family; see the contract."""

    def __init__(self, call: Call, model: str) -> None:
        super().__init__(call, model)
        self._told: dict[str, Any] = {}  # usage, as far as it was told
        self._block: dict[str, Any] = {}  # the open content block
        self._input = False  # the open block's arguments have begun
        self._calls = 0
        self._answers_json = False

    def take(self, event: str, payload: dict[str, Any]) -> None:
        kind = payload.get("type", event)
        if kind == "error":
            raise event_refusal(payload.get("error"))
        handler = _HANDLERS.get(kind)
        if handler is not None:  # pings and events of the future are no content
            handler(self, payload)

    def start(self, payload: dict[str, Any]) -> None:
        message = _object(payload, "message")
        if isinstance(message.get("id"), str):
            self.answer_id = message["id"]
        if isinstance(message.get("model"), str):
            self.model = message["model"]
        self._told = merge({}, message.get("usage"))
        self.service_tier = service_tier(self._told)
        self.emit({"role": "assistant", "content": ""})

    def open_block(self, payload: dict[str, Any]) -> None:
        self._block = block = dict(_object(payload, "content_block"))
        self._input = False
        kind = block.get("type")
        if kind == "tool_use" and block.get("name") == JSON_TOOL:
            self._answers_json = True
        elif kind == "tool_use":
            made = tool_call(str(block.get("id")), str(block.get("name")), "")
            self.emit({"tool_calls": [{"index": self._calls, **made}]})
            self._calls += 1
        elif kind == "text" and isinstance(block.get("text"), str) and block["text"]:
            self.emit({"content": block["text"]}, text=block["text"])
        elif kind == "thinking" and isinstance(block.get("thinking"), str) and block["thinking"]:
            self.emit({"reasoning_content": block["thinking"]}, text=block["thinking"])

    def extend_block(self, payload: dict[str, Any]) -> None:
        delta = _object(payload, "delta")
        kind = delta.get("type")
        if kind == "text_delta":
            text = _text(delta, "text")
            self.emit({"content": text}, text=text)
        elif kind == "thinking_delta":
            text = _text(delta, "thinking")
            self._block["thinking"] = str(self._block.get("thinking") or "") + text
            self.emit({"reasoning_content": text}, text=text)
        elif kind == "signature_delta":
            self._block["signature"] = _text(delta, "signature")
        elif kind == "input_json_delta" and self._block.get("type") == "tool_use":
            text = _text(delta, "partial_json")
            if text:
                self._input = True
                self._emit_input(text)

    def close_block(self, payload: dict[str, Any]) -> None:
        block, self._block = self._block, {}
        kind = block.get("type")
        if kind == "tool_use" and not self._input:
            self._block = block
            self._emit_input(encode(block.get("input") or {}).decode())
            self._block = {}
        elif kind == "thinking":
            signed = {
                "type": "thinking",
                "thinking": block.get("thinking", ""),
                "signature": block.get("signature", ""),
            }
            self.emit({"thinking_blocks": [signed]})
        elif kind == "redacted_thinking":
            self.emit({"thinking_blocks": [{"type": kind, "data": block.get("data", "")}]})

    def end(self, payload: dict[str, Any]) -> None:
        # Only here is the output counted: what the first event tells is a beginning.
        self._told = merge(self._told, payload.get("usage"))
        self.service_tier = service_tier(self._told)
        self.usage = later(self.usage, read_usage(self._told))
        stop_reason = _object(payload, "delta").get("stop_reason")
        if not isinstance(stop_reason, str) or self.is_complete:
            return
        self.is_complete = True
        reason = finish_reason(stop_reason)
        if self._answers_json and not self._calls:
            reason = "stop" if reason == "tool_calls" else reason
        self.emit({}, reason)

    def stop(self, payload: dict[str, Any]) -> None:
        """Nothing to add: the end mark is held back for `finish`."""

    def _emit_input(self, text: str) -> None:
        if self._block.get("name") == JSON_TOOL:
            self.emit({"content": text}, text=text)
            return
        index = self._calls - 1
        self.emit({"tool_calls": [{"index": index, "function": {"arguments": text}}]}, text=text)


_HANDLERS = {
    "message_start": AnthropicStream.start,
    "content_block_start": AnthropicStream.open_block,
    "content_block_delta": AnthropicStream.extend_block,
    "content_block_stop": AnthropicStream.close_block,
    "message_delta": AnthropicStream.end,
    "message_stop": AnthropicStream.stop,
}


def _object(payload: dict[str, Any], name: str) -> dict[str, Any]:
    value = payload.get(name)
    if not isinstance(value, dict):
        raise UpstreamInvalid
    return value


def _text(delta: dict[str, Any], name: str) -> str:
    value = delta.get(name)
    if not isinstance(value, str):
        raise UpstreamInvalid
    return value
