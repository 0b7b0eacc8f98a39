"""What the stream readers that translate have in common; a family adds its events."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters import sse
from apps.providers.adapters.chat_answer import encode, usage_object
from apps.providers.adapters.contract import Call, Usage
from chatvault.lib import clock
from chatvault.lib.errors import UpstreamBroken, UpstreamError, UpstreamInvalid

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TranslatedStream:
    """A StreamReader. Subclasses implement `take`, which emits chunks by `emit`."""

    def __init__(self, call: Call, model: str) -> None:
        self.usage: Usage | None = None
        self.service_tier = ""
        self.output_events = 0
        self.output_text_bytes = 0
        self.is_complete = False
        self.finish_reasons: list[str] = []
        self.answer_id = f"chatcmpl-{call.request_id}"
        self.model = model
        self._wants_usage = call.wants_usage
        self._created = int(clock.wall_s())
        self._splitter = sse.Splitter()
        self._out: list[bytes] = []
        self._failure: UpstreamError | None = None
        self._saw_event = False

    def take(self, event: str, payload: dict[str, Any]) -> None:
        """One event of the provider's. Raises UpstreamRefused or UpstreamInvalid."""
        raise UpstreamInvalid

    def close(self) -> None:
        """Called once at a clean end, for chunks that only the end makes possible."""

    def feed(self, data: bytes) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            for block in self._splitter.push(data):
                self._take_block(block)
        except UpstreamError as failure:  # what came before it is delivered first
            self._failure = failure
            if not self._out:
                raise
        return self._flush()

    def finish(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        rest = self._splitter.take_rest()
        if rest.strip():
            self._take_rest(rest)
        if not self.is_complete:
            raise UpstreamBroken
        self.close()
        if self._wants_usage and self.usage is not None:
            self._write([], {"usage": usage_object(self.usage)})
        return self._flush() + sse.DONE

    def emit(
        self,
        delta: dict[str, Any],
        finish_reason: str | None = None,
        *,
        index: int = 0,
        text: str = "",
    ) -> None:
        """One chunk; `text` is what of it was generated, to be weighed."""
        if finish_reason:
            self.finish_reasons.append(finish_reason)
        if text:
            self.output_events += 1
            self.output_text_bytes += len(text.encode())
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        self._write([choice], {"usage": None} if self._wants_usage else {})

    def _write(self, choices: list[dict[str, Any]], more: dict[str, Any]) -> None:
        chunk = {
            "id": self.answer_id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
            "choices": choices,
            **more,
        }
        self._out.append(sse.event(encode(chunk)))

    def _flush(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _take_block(self, block: bytes) -> None:
        payload = sse.payload_of(block)
        if payload is None:
            if not self._saw_event and not sse.is_block(block):
                raise UpstreamInvalid
            return
        if not payload.strip() or payload.strip() == b"[DONE]":
            return
        self._saw_event = True
        try:
            told = _decode(payload)
        except (msgspec.DecodeError, RecursionError):
            raise UpstreamInvalid from None
        self.take(sse.event_of(block).decode("utf-8", "replace"), told)

    def _take_rest(self, rest: bytes) -> None:
        """A last block without its blank line counts if it is whole."""
        if not self._saw_event and not sse.is_block(rest):
            raise UpstreamInvalid
        payload = sse.payload_of(rest)
        try:
            told = _decode(payload or b"")
        except (msgspec.DecodeError, RecursionError):
            return
        self.take(sse.event_of(rest).decode("utf-8", "replace"), told)
