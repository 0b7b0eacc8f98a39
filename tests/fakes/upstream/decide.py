"""From a request to a reply: which provider was meant, what was scripted, which fault was asked."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.upstream import anthropic_wire, faults, gemini_wire, openai_wire
from tests.fakes.upstream.answers import (
    Answer,
    Event,
    Failure,
    Gate,
    Raw,
    Usage,
    strings_in,
    tokens,
)
from tests.fakes.upstream.oracle import Seen
from tests.fakes.upstream.replies import Hold, Reply, Step, Wait, of_bytes

Scripted = Answer | Failure | Raw
TakeScript = Callable[[str], Scripted | None]
MODELS = ["gpt-4o-mini", "gpt-4o", "text-embedding-3-small"]
_GEMINI = re.compile(r"/models/(.+):(\w+)$")
_TOLD = re.compile(r"^told(-\w+)?$")
_STREAM = re.compile(r"^stream:(\d+)(?:@(\d+)ms)?$")


@dataclass(frozen=True, slots=True)
class _Call:
    """A request, understood."""

    wire: ModuleType
    kind: str
    model: str
    body: dict[str, Any]
    is_stream: bool


def decide(entry: Seen, *, take_script: TakeScript, stalls: Gate, models: list[str]) -> Reply:
    """The reply to one request. Faults by model name win over scripts."""
    url = urlsplit(entry.path)
    call = _understand(entry, url.path, url.query)
    entry.model = call.model
    asked = faults.named_in(call.model)
    failure = faults.failure_in(asked)
    if failure is not None:
        return _failed(call, failure, entry.n)
    wrong = faults.body_in(asked, is_stream=call.is_stream)
    if wrong is not None:
        return wrong
    scripted = take_script(call.model) if call.kind != "models" else None
    if isinstance(scripted, Raw):
        return _raw(scripted)
    if isinstance(scripted, Failure):
        return _failed(call, scripted, entry.n)
    if call.kind == "unknown":
        return _failed(call, Failure(404, f"Unknown request URL: {url.path}"), entry.n)
    if call.kind == "models":
        return _models(call, models, entry.n)
    refusal = call.wire.refusal(call.body, entry.headers)
    if refusal is not None:
        return _failed(call, refusal, entry.n)
    if call.kind.startswith("embed"):
        return _embedded(call, entry.n, asked, stalls)
    answer = scripted or _by_name(call.model) or _as_told(call, entry)
    answer = answer or call.wire.default_answer(call.body)
    return _told(call, faults.with_usage(answer, asked), asked, entry.n, stalls)


def _understand(entry: Seen, path: str, query: str) -> _Call:
    body: dict[str, Any] = {}
    if entry.body:
        try:
            body = json.loads(entry.body)
        except ValueError:
            return _Call(openai_wire, "unknown", "", {}, False)
    is_gemini = "/v1beta/" in path and "/openai/" not in path
    match = _GEMINI.search(unquote(path)) if entry.method == "POST" else None
    if match:
        verb, model = match[2], match[1]
        kinds = {"embedContent": "embed", "batchEmbedContents": "embed-batch"}
        is_stream = verb == "streamGenerateContent" and "sse" in parse_qs(query).get("alt", [])
        is_known = verb in ("generateContent", "streamGenerateContent") or verb in kinds
        kind = kinds.get(verb, "chat" if is_known else "unknown")
        return _Call(gemini_wire, kind, model, body | {"model": model}, is_stream)
    model, is_stream = str(body.get("model", "")), bool(body.get("stream"))
    if path.endswith("/messages"):
        return _Call(anthropic_wire, "chat", model, body, is_stream)
    if path.endswith("/completions"):
        return _Call(openai_wire, "chat", model, body, is_stream)
    if path.endswith("/embeddings"):
        return _Call(openai_wire, "embed", model, body, False)
    if entry.method == "GET" and "/models" in path:
        wire = openai_wire
        if is_gemini:
            wire = gemini_wire
        elif "anthropic-version" in entry.headers:
            wire = anthropic_wire
        return _Call(wire, "models", unquote(path.partition("/models")[2].strip("/")), {}, False)
    return _Call(openai_wire, "unknown", model, body, is_stream)


def _by_name(model: str) -> Answer | None:
    """`stream:N` answers N tokens, `stream:N@Mms` one every M milliseconds."""
    match = _STREAM.match(model)
    if match is None:
        return None
    pieces = tuple(f" w{at}" for at in range(int(match[1])))
    return Answer(pieces, pace_s=int(match[2] or 0) / 1000)


def _as_told(call: _Call, entry: Seen) -> Answer | None:
    """`told` claims the usage that a message asks for, as JSON, and says three words."""
    if not _TOLD.match(call.model):
        return None
    wanted = json.loads(next(text for text in strings_in(call.body) if text.startswith("{")))
    usage = {name: int(wanted.get(name, 0)) for name in Usage.__dataclass_fields__}
    entry.told = {**wanted, **usage}
    return Answer((" As", " you", " say."), usage=Usage(**usage))


def headers_of(wire: ModuleType, number: int, content_type: str) -> dict[str, str]:
    """The provider's usual headers, those included that must not reach a client."""
    headers = {"content-type": content_type, "set-cookie": f"session={faults.CANARY}; path=/"}
    if wire is openai_wire:
        headers |= {
            "x-request-id": f"req_fake{number}",
            "openai-processing-ms": "7",
            "openai-version": "2020-10-01",
            "openai-organization": faults.CANARY,
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-reset-requests": "6ms",
        }
    elif wire is anthropic_wire:
        headers |= {
            "request-id": f"req_fake{number}",
            "anthropic-organization-id": faults.CANARY,
            "anthropic-ratelimit-requests-limit": "1000",
        }
    return headers


def _failed(call: _Call, error: Failure, number: int) -> Reply:
    body = call.wire.failure(error)
    headers = headers_of(call.wire, number, "application/json") | dict(error.headers)
    return of_bytes(error.status, headers, body)


def _raw(raw: Raw) -> Reply:
    headers = {name.lower(): value for name, value in raw.headers.items()}
    for name in ("content-length", "transfer-encoding", "connection"):
        headers.pop(name, None)
    if isinstance(raw.body, bytes):
        steps: list[Step] = [Event(raw.body)]
        if raw.hold_after is not None:
            steps.insert(0, Hold(raw.gate))
        return Reply(raw.status, headers, steps, len(raw.body))
    return Reply(raw.status, headers, _slices(raw, raw.body))


def _slices(raw: Raw, parts: Any) -> Iterator[Step]:
    for at, part in enumerate(parts):
        if at == raw.hold_after:
            yield Hold(raw.gate)
        yield Event(part)
        yield Wait(raw.pause_s)


def _models(call: _Call, names: list[str], number: int) -> Reply:
    if call.model and call.wire is openai_wire:
        if call.model not in names:
            error = Failure(404, f"The model '{call.model}' does not exist", param="model",
                            code="model_not_found")  # fmt: skip
            return _failed(call, error, number)
        body = openai_wire.model(call.model)
    else:
        body = call.wire.models(names)
    return of_bytes(200, headers_of(call.wire, number, "application/json"), body)


def _embedded(call: _Call, number: int, asked: dict[str, int | None], stalls: Gate) -> Reply:
    if call.wire is gemini_wire:
        body = gemini_wire.embeddings(call.body, is_batch=call.kind == "embed-batch")
    else:
        body = openai_wire.embeddings(call.body, number)
    reply = of_bytes(200, headers_of(call.wire, number, "application/json"), body)
    reply = faults.break_up(reply, asked, error_event=b"", gate=stalls)
    return faults.reformat(reply, asked)


def _told(
    call: _Call, answer: Answer, asked: dict[str, int | None], number: int, stalls: Gate
) -> Reply:
    if call.is_stream:
        kind = "text/event-stream"
        kind += "" if call.wire is gemini_wire else "; charset=utf-8"
        events = call.wire.events(call.body, answer, number)
        reply = Reply(200, headers_of(call.wire, number, kind), events)
    else:
        body = call.wire.whole(call.body, answer, number)
        size = answer.tokens * int(call.body.get("n") or 1)
        headers = headers_of(call.wire, number, "application/json")
        reply = of_bytes(200, headers, body, size)
    reply = faults.in_order(reply, answer)
    error = Failure(529, f"Overloaded {faults.CANARY}", "server_error")
    event = _error_event(call.wire, error)
    reply = faults.break_up(reply, asked, error_event=event, gate=stalls)
    return faults.reformat(reply, asked)


def _error_event(wire: ModuleType, error: Failure) -> bytes:
    if wire is openai_wire:
        return b"data: " + openai_wire.compact(json.loads(wire.failure(error))) + b"\n\n"
    event: bytes = wire.error_event(error)
    return event


def pieces_of(text: str) -> tuple[str, ...]:
    """A text as the fake would generate it, token by token."""
    return tuple(tokens(text))
