"""Gemini's stream (each event a partial answer) as OpenAI's chunks."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.contract import Call, Endpoint
from apps.providers.adapters.gemini.error import event_refusal
from apps.providers.adapters.gemini.response import (
    Candidate,
    Generated,
    call_in,
    finish_reason,
    parts_of,
    searches_of,
)
from apps.providers.adapters.gemini.usage import Found, read_usage, service_tier
from apps.providers.adapters.translated_stream import TranslatedStream
from chatvault.lib.errors import UpstreamInvalid


def open_stream(call: Call, endpoint: Endpoint) -> GeminiStream:
    return GeminiStream(call, endpoint.model)


class GeminiStream(TranslatedStream):
    """The StreamReader of this family; see the contract."""

    def __init__(self, call: Call, model: str) -> None:
        super().__init__(call, model)
        self._is_first = True
        self._calls: dict[int, int] = {}  # how many, by candidate
        self._roles: set[int] = set()
        self._searches: dict[int, int] = {}  # by candidate; told again and again, and never fewer
        self._images = 0
        self._has_searched = False

    def take(self, event: str, payload: dict[str, Any]) -> None:
        try:
            told = msgspec.convert(payload, Generated)
        except msgspec.ValidationError:
            raise UpstreamInvalid from None
        if told.error is not None:
            raise event_refusal(told.error)
        if self._is_first:
            self._is_first = False
            self.answer_id = told.response_id or self.answer_id
            self.model = told.model_version or self.model
        usage = read_usage(told.usage_metadata, self._found(told))
        self.service_tier = service_tier(told.usage_metadata) or self.service_tier
        # The prompt's count is corrected in the end, downwards too; the output only grows.
        known = self.usage.output_tokens if self.usage else 0
        if usage is not None and usage.output_tokens >= known:
            self.usage = usage
        for candidate in told.candidates or []:
            self._take_candidate(candidate)
        if not told.candidates and told.is_blocked:
            self._open(0)
            self.is_complete = True
            self.emit({}, "content_filter")

    def _found(self, told: Generated) -> Found:
        """In all events so far."""
        here = told.found()
        self._has_searched = self._has_searched or here.has_searched
        self._images += here.images
        for candidate in told.candidates or []:
            known = self._searches.get(candidate.index, 0)
            self._searches[candidate.index] = max(known, searches_of(candidate))
        return Found(self._has_searched, sum(self._searches.values()), self._images)

    def _take_candidate(self, candidate: Candidate) -> None:
        index = candidate.index
        self._open(index)
        for part in parts_of(candidate):
            text = part.get("text")
            if isinstance(text, str) and text:
                name = "reasoning_content" if part.get("thought") is True else "content"
                self.emit({name: text}, index=index, text=text)
            elif "functionCall" in part:
                self._emit_call(part, index)
        if candidate.finish_reason is not None:
            self.is_complete = True
            has_calls = self._calls.get(index, 0) > 0
            self.emit({}, finish_reason(candidate.finish_reason, has_calls), index=index)

    def _open(self, index: int) -> None:
        if index not in self._roles:
            self._roles.add(index)
            self.emit({"role": "assistant", "content": ""}, index=index)

    def _emit_call(self, part: dict[str, Any], index: int) -> None:
        position = self._calls.get(index, 0)
        self._calls[index] = position + 1
        made = call_in(part, self.answer_id, index, position)
        arguments = made["function"]["arguments"]
        self.emit({"tool_calls": [{"index": position, **made}]}, index=index, text=arguments)
