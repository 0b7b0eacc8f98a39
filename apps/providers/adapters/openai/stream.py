"""A streamed answer: the provider's bytes, less what only we asked for.

Most events are never parsed. An event is when it may hold usage, an error or a finish reason,
and the first ones are, to learn what an event weighs without its text. All decisions are made
event by event, so the way the bytes were sliced cannot change them.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.providers.adapters import sse
from apps.providers.adapters.contract import Call, Endpoint, Usage
from apps.providers.adapters.counts import later, tier_name
from apps.providers.adapters.openai.error import in_band_refusal
from apps.providers.adapters.openai.request import plan_for
from apps.providers.adapters.openai.response import text_size
from apps.providers.adapters.openai.template import Template, find_template
from apps.providers.adapters.openai.usage import read_usage
from chatvault.lib.errors import UpstreamBroken, UpstreamError, UpstreamInvalid

# Inside a JSON string quotes are escaped, so these bytes can only be a member; and when but one
# brace closes between it and the end of the event, it is a member of the outermost object.
_NULL_USAGE = b',"usage":null'
_OUTERMOST_TAIL = re.compile(rb"[^{}\[\]\r\n]*\}\n\n")

_TEMPLATE_TRIES = 8  # a stream whose chunks are never alike is not worth more
_LEARN_FROM = 2  # the first has the role, the second is like all others


class _Event(msgspec.Struct):
    choices: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    object: Any = None
    service_tier: Any = None


class _Choice(msgspec.Struct):
    delta: Any = None
    text: Any = None
    finish_reason: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_choices = msgspec.json.Decoder(list[_Choice]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def open_stream(call: Call, endpoint: Endpoint) -> PassThrough:
    asks = plan_for(endpoint).stream_usage == "ask" and not call.wants_usage
    return PassThrough(call, strips_usage=asks)


class PassThrough:
    """The StreamReader of this family; see the contract."""

    __slots__ = (
        "_buffer",
        "_delta_key",
        "_ended",
        "_failure",
        "_held",
        "_last",
        "_learned",
        "_overhead",
        "_quiet",
        "_splitter",
        "_strips",
        "_template",
        "_tries_left",
        "finish_reasons",
        "is_complete",
        "output_events",
        "output_text_bytes",
        "service_tier",
        "usage",
    )

    def __init__(self, call: Call, *, strips_usage: bool) -> None:
        self.usage: Usage | None = None
        self.service_tier = ""
        self.output_events = 0
        self.is_complete = False
        self.finish_reasons: list[str] = []
        self._strips = strips_usage
        self._delta_key = b'"delta"' if call.operation == "chat" else b'"text"'
        self._splitter = sse.Splitter()
        self._buffer = self._splitter.buffer
        self._template: Template | None = None  # None also when all must be looked at
        self._tries_left = _TEMPLATE_TRIES
        self._quiet = False  # learned enough; nothing held back, nothing ended
        self._learned = 0
        self._overhead = 0  # bytes of an event without its text
        self.output_text_bytes = 0  # approximate where chunks are not alike
        self._last = b""
        self._held: list[bytes] = []
        self._ended = False
        self._failure: UpstreamError | None = None

    def feed(self, data: bytes) -> bytes:
        form = self._template
        if form is not None and not self._buffer and data.startswith(form.head):
            text_end = data.find(b'"', form.head_size)
            if data.startswith(form.middle, text_end):
                end = text_end + form.middle_size
                size = len(data)
                is_whole = end == size or (
                    form.is_padded and data.find(b'"', end) == size - 4 and data.endswith(b'"}\n\n')
                )
                if (
                    is_whole
                    and data.find(b"\n", form.head_size) == size - 2
                    and data.find(b"\r", form.head_size) < 0
                ):
                    if data != self._last:
                        self._last = data
                        self.output_events += 1
                        self.output_text_bytes += text_end - form.head_size
                    if self._strips:
                        return data[:text_end] + form.middle_out + data[end:]
                    return data
        if self._failure is not None:
            raise self._failure
        return self._feed_blocks(data)

    def finish(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        out = self._take_rest()
        if self._failure is not None:
            raise self._failure
        if not self.is_complete:
            raise UpstreamBroken
        return out + b"".join(self._held) + sse.DONE

    def _pass(self, block: bytes) -> bytes | None:
        """The block as it goes out, if that can be told without parsing it; else None."""
        sent = block
        if self._strips and (at := block.find(_NULL_USAGE)) >= 0:
            if _OUTERMOST_TAIL.fullmatch(block, at + len(_NULL_USAGE)) is None:
                return None
            block = block[:at] + block[at + len(_NULL_USAGE) :]
        if (
            block[:5] != b"data:"
            or block.count(b'"usage"') != (0 if self._strips else block.count(b'"usage":null'))
            or block.count(b'"finish_reason"') != block.count(b'"finish_reason":null')
            or b'"error"' in block
            or b"[DONE]" in block
        ):
            return None
        if self._delta_key in block:
            self._count(sent)
            if self._tries_left:
                self._tries_left -= 1
                self._template = find_template(sent, strips=self._strips)
        return block

    def _count(self, block: bytes) -> None:
        if block == self._last:
            return  # a duplicate is passed on, but costs nothing
        self._last = block
        self.output_events += 1
        form = self._template
        if form is not None and block.startswith(form.head):
            text_end = block.find(b'"', form.head_size)
            if text_end > 0 and block.startswith(form.middle, text_end):
                self.output_text_bytes += text_end - form.head_size
                return
        self.output_text_bytes += max(0, len(block) - self._overhead)

    def _feed_blocks(self, data: bytes) -> bytes:
        out: list[bytes] = []
        try:
            for block in self._splitter.push(data):
                passed = self._pass(block) if self._quiet and b"\r" not in block else None
                out.append(self._parse(block) if passed is None else passed)
        except UpstreamError as failure:  # what came before it is delivered first
            self._failure = failure
            self._watch()
            if not any(out):
                raise
        return b"".join(out)

    def _take_rest(self) -> bytes:
        """A last block without its blank line counts if it is whole."""
        rest = self._splitter.take_rest()
        if not rest.strip() or self._ended:
            return b""
        if self._learned == 0 and rest.lstrip()[:1] in (b"{", b"<", b"["):
            raise _not_a_stream(rest)
        payload = sse.payload_of(rest)
        if payload != b"[DONE]" and not _is_json(payload or b""):
            return b""
        return self._parse(rest.rstrip(b"\r\n") + b"\n\n")

    def _parse(self, block: bytes) -> bytes:
        if self._ended:
            return b""
        payload = sse.payload_of(block)
        if payload is None:
            if self._learned == 0 and not sse.is_block(block):
                raise _not_a_stream(block)
            return block
        if not payload.strip():
            return block
        if payload.strip() == b"[DONE]":
            self._ended = self.is_complete = True
            self._watch()
            return b""
        try:
            event = _decode_event(payload)
            has_choices = bytes(event.choices)[:1] == b"["
            choices = _decode_choices(event.choices) if has_choices else []
        except (msgspec.DecodeError, RecursionError):
            raise UpstreamInvalid from None
        self.usage = later(self.usage, read_usage(event.usage))
        if event.service_tier is not None:  # the first events tell it, and the last
            self.service_tier = tier_name(event.service_tier) or self.service_tier
        self._check_error(block, event, payload)
        has_usage = bytes(event.usage)[:1] == b"{"
        self._learn(block, choices)
        if has_usage and not choices:
            self._watch()
            if not self._strips:
                self._held.append(block)
            return b""
        if event.usage and self._strips:
            block = sse.with_payload(block, _without_usage(payload, bytes(event.usage)))
        return self._release() + block

    def _check_error(self, block: bytes, event: _Event, payload: bytes) -> None:
        if event.error and bytes(event.error) != b"null":
            raise in_band_refusal(bytes(event.error))
        if event.object == "error" or sse.event_of(block) == b"error":
            raise in_band_refusal(payload)

    def _watch(self) -> None:
        """From here on every event is looked at."""
        self._quiet = False
        self._template = None
        self._tries_left = 0

    def _release(self) -> bytes:
        """Usage was held back as the end, but more came after it: the order stays."""
        if not self._held:
            return b""
        held = b"".join(self._held)
        self._held.clear()
        self._quiet = self._learned >= _LEARN_FROM
        return held

    def _learn(self, block: bytes, choices: list[_Choice]) -> None:
        if not choices:
            return
        for choice in choices:
            if choice.finish_reason:
                self.is_complete = True
                self.finish_reasons.append(str(choice.finish_reason))
        text = sum(text_size(choice.delta) + text_size(choice.text) for choice in choices)
        if self._learned < _LEARN_FROM:
            self._learned += 1
            self._overhead = len(block) - text
            self._quiet = self._learned >= _LEARN_FROM and not self._held
        if text and block != self._last:
            self._last = block
            self.output_events += 1
            self.output_text_bytes += text


def _not_a_stream(body: bytes) -> UpstreamError:
    """A whole JSON answer where a stream was asked for: an error object, or nothing usable."""
    try:
        error = bytes(_decode_event(body).error)
    except (msgspec.DecodeError, RecursionError):
        return UpstreamInvalid()
    return in_band_refusal(error) if error[:1] == b"{" else UpstreamInvalid()


def _is_json(payload: bytes) -> bool:
    try:
        _decode_event(payload)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _without_usage(payload: bytes, value: bytes) -> bytes:
    """The object without its `usage`, all other bytes kept.

    A cut is right if what is left decodes to the same members without that one.
    """
    members = {k: bytes(v) for k, v in _decode_members(payload).items() if k != "usage"}
    member = rb'"usage"\s*:\s*' + re.escape(value)
    for match in re.finditer(rb"\s*,\s*" + member + rb"|" + member + rb"\s*,?\s*", payload):
        cut = payload[: match.start()] + payload[match.end() :]
        try:
            if {k: bytes(v) for k, v in _decode_members(cut).items()} == members:
                return cut
        except (msgspec.DecodeError, RecursionError):
            continue
    return msgspec.json.encode({k: msgspec.Raw(v) for k, v in members.items()})
