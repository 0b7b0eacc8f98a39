"""Faults chosen by model name: `fault:NAME`, `fault:NAME-NUMBER`, several joined by `+`.

FAULTS lists every name; README.md beside this file says what each does.
"""

import gzip
import itertools
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from tests.fakes.upstream.answers import Answer, Event, Failure, Gate, Usage, UsageMode
from tests.fakes.upstream.replies import Cut, Hold, Reply, Step, Wait, held, of_bytes, paced

CANARY = "sk-canary5b1f0c9e7d2a4b6f8e1c"
MB = 1_000_000
_BLOCK = b"a" * 65_536

FAILURES = {
    "400": Failure(400, "Invalid value for 'temperature'.", code="invalid_value"),
    "400-canary": Failure(400, f"Bad request: {CANARY}", param=CANARY, code=CANARY),
    "401": Failure(401, f"Incorrect API key provided: {CANARY}.", code="invalid_api_key"),
    "403": Failure(403, f"Project {CANARY} does not have access.", code="unsupported_country"),
    "404": Failure(404, "The model does not exist.", code="model_not_found"),
    "408": Failure(408, "Request timed out.", "timeout"),
    "409": Failure(409, "Conflict.", "conflict"),
    "413": Failure(413, "Request too large.", "request_too_large"),
    "422": Failure(422, "Unprocessable.", "invalid_request_error"),
    "429": Failure(429, "Rate limit reached.", "requests", "rate_limit_exceeded"),
    "429-quota": Failure(429, "You exceeded your quota.", "insufficient_quota",
                         "insufficient_quota"),
    "500": Failure(500, f"The server had an error: {CANARY}", "server_error"),
    "502": Failure(502, "Bad gateway.", "server_error"),
    "503": Failure(503, "The engine is overloaded.", "service_unavailable_error"),
    "504": Failure(504, "Gateway timeout.", "server_error"),
    "529": Failure(529, "Overloaded", "overloaded_error"),
    "context": Failure(400, "This model's maximum context length is 8 tokens.",
                       code="context_length_exceeded", param="messages"),
}  # fmt: skip

USAGES = {
    "no-usage": (UsageMode.NONE, None),
    "usage-null": (UsageMode.NULL, None),
    "usage-twice": (UsageMode.TWICE, None),
    "usage-every-chunk": (UsageMode.EVERY_CHUNK, None),
    "usage-on-last-choice": (UsageMode.ON_LAST_CHOICE, None),
    "usage-decreasing": (UsageMode.DECREASING, None),
    "usage-unasked": (UsageMode.UNASKED, None),
    "usage-negative": (UsageMode.NORMAL, Usage(-5, -7)),
    "usage-huge": (UsageMode.NORMAL, Usage(2**63, 2**63)),
    "usage-zero": (UsageMode.NORMAL, Usage(0, 0)),
    "split-utf8": (UsageMode.NORMAL, None),
}

BODIES = (
    "html-200", "empty-200", "bad-json", "wrong-content-type", "huge", "deep-json", "gzip-bomb",
    "redirect", "null-json", "array-json", "truncated-json",
)  # fmt: skip
BREAKS = (
    "reset", "eof", "stall-headers", "slow-headers", "reset-after", "eof-after", "ends-after",
    "no-done", "stall-after", "trickle", "endless", "loop", "error-event", "error-event-after",
    "bad-event-after",
)  # fmt: skip
FORMATS = (
    "crlf", "comments", "multi-line-data", "one-byte-slices", "no-space", "bom", "gzip",
    "duplicate-chunks", "long-line", "one-write",
)  # fmt: skip
FAULTS = (*FAILURES, "429-retry-after", *USAGES, *BODIES, *BREAKS, *FORMATS)

_MARK = "fault:"
_LAST_WORD = re.compile(rb' [^" :]+"(?=[,}])')
_NUMBER = re.compile(r"^(.*?)-(\d+)$")


def named_in(model: str) -> dict[str, int | None]:
    """The faults that a model name asks for, with their number; empty for an ordinary model.

    Raises LookupError for a name that is none: a misspelt fault must not pass as no fault.
    """
    _, mark, names = model.partition(_MARK)
    found: dict[str, int | None] = {}
    for name in names.split("+") if mark else []:
        match = _NUMBER.match(name)
        if name in FAULTS:
            found[name] = None
        elif match and match[1] in FAULTS:
            found[match[1]] = int(match[2])
        else:
            raise LookupError(f"the fake provider knows no fault {name!r}")
    return found


def failure_in(faults: dict[str, int | None]) -> Failure | None:
    """The provider's own error that is asked for, if any."""
    if "429-retry-after" in faults:
        seconds = str(faults["429-retry-after"] or 1)
        return replace(FAILURES["429"], headers={"retry-after": seconds})
    return next((FAILURES[name] for name in faults if name in FAILURES), None)


def with_usage(answer: Answer, faults: dict[str, int | None]) -> Answer:
    for name in faults:
        if name in USAGES:
            mode, usage = USAGES[name]
            answer = replace(answer, usage_mode=mode, usage=usage or answer.usage)
    if "split-utf8" in faults:
        answer = replace(answer, pieces=("Zoë", " 日本語", " 🙂👩‍🚀", " ça"))
    if "long-line" in faults:
        answer = replace(answer, pieces=("a" * (faults["long-line"] or 2 * MB), " b"))
    return answer


def body_in(faults: dict[str, int | None], *, is_stream: bool) -> Reply | None:
    """A reply whose body is wrong from its first byte, if one is asked for."""
    kind = {"content-type": "text/event-stream" if is_stream else "application/json"}
    if "html-200" in faults:
        page = f"<html><body><h1>Welcome</h1>{CANARY}</body></html>".encode()
        return of_bytes(200, {"content-type": "text/html"}, page)
    if "redirect" in faults:
        return of_bytes(307, kind | {"location": "http://169.254.169.254/latest"}, b"")
    simple = {
        "empty-200": b"",
        "bad-json": b'{"id": "x", "choices": [{"mess',
        "null-json": b"null",
        "array-json": b"[]",
        "deep-json": b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    }
    for name, body in simple.items():
        if name in faults:
            return of_bytes(200, kind, _as_event(body) if is_stream and body else body)
    if "huge" in faults:
        return Reply(200, kind, _huge((faults["huge"] or 200) * MB, is_stream=is_stream))
    if "gzip-bomb" in faults:
        packed = _bomb((faults["gzip-bomb"] or 200) * MB, is_stream=is_stream)
        return of_bytes(200, kind | {"content-encoding": "gzip"}, packed)
    return None


def _as_event(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


def _huge(size: int, *, is_stream: bool) -> Iterator[Step]:
    """Valid JSON with one enormous text, made while it is sent."""
    head = b'{"id":"huge","object":"chat.completion","choices":[{"index":0,"message":{"content":"'
    yield Event((b"data: " if is_stream else b"") + head)
    for _ in range(size // len(_BLOCK)):
        yield Event(_BLOCK)
    yield Event(b'"}}]}' + (b"\n\n" if is_stream else b""))


@cache
def _bomb(size: int, *, is_stream: bool) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    steps = _huge(size, is_stream=is_stream)
    packed = [packer.compress(step.data) for step in steps if isinstance(step, Event)]
    return b"".join(packed) + packer.flush()


def break_up(
    reply: Reply, faults: dict[str, int | None], *, error_event: bytes, gate: Gate
) -> Reply:
    """Apply what cuts, stalls, slows or prolongs a reply that was right so far."""
    if "stall-headers" in faults:
        reply.head_steps = (Hold(gate),)
    if "reset" in faults or "eof" in faults:
        reply.head_steps = (Cut("reset" if "reset" in faults else "eof"),)
    if "truncated-json" in faults or (reply.length and _cuts(faults)):
        reply.steps = _halved(reply.steps)
    ends: dict[str, tuple[Step, ...]] = {
        "reset-after": (Cut("reset"),),
        "eof-after": (Cut("eof"),),
        "truncated-json": (Cut("eof"),),
        "stall-after": (Hold(gate),),
        "ends-after": () if reply.length is None else (Cut("eof"),),
        "error-event": (Event(error_event),),
        "error-event-after": (Event(error_event),),
        "bad-event-after": (Event(b'data: {"choices": [{"del\n\n'),),
    }
    for name, end in ends.items():
        if name in faults:
            default = 0 if name == "error-event" else 1
            count = 0 if reply.length else _number(faults[name], default)
            reply.steps = _until(reply.steps, count, end)
    if "no-done" in faults:
        reply.steps = (step for step in reply.steps if not _is_done(step))
    if ("endless" in faults or "loop" in faults) and reply.length is None:
        reply.steps = _endless(list(reply.steps), is_loop="loop" in faults)
    if "trickle" in faults:
        reply.steps = _sliced(reply.steps, 1, (faults["trickle"] or 20) / 1000)
    return reply


def _number(number: int | None, default: int) -> int:
    return default if number is None else number


def _cuts(faults: dict[str, int | None]) -> bool:
    return any(name.endswith("-after") or name == "error-event" for name in faults)


def _halved(steps: Iterable[Step]) -> Iterator[Step]:
    """A body that is sent at once has no tokens on the way; break it in the middle."""
    for step in steps:
        if isinstance(step, Event):
            middle = len(step.data) // 2
            yield Event(step.data[:middle])
            yield Event(step.data[middle:], max(1, step.tokens))
        else:
            yield step


def _until(steps: Iterable[Step], count: int, end: tuple[Step, ...]) -> Iterator[Step]:
    """Everything up to and with the `count`-th token, then `end`."""
    sent = 0
    for step in steps:
        size = step.tokens if isinstance(step, Event) else 0
        if size and sent + size > count:
            break
        sent += size
        yield step
    yield from end


def _is_done(step: Step) -> bool:
    return isinstance(step, Event) and step.data.strip() == b"data: [DONE]"


def _endless(steps: list[Step], *, is_loop: bool) -> Iterator[Step]:
    """The start of the answer, then its last token for ever: numbered, or the very same."""
    said = [step for step in steps if isinstance(step, Event) and step.tokens]
    yield from steps[: steps.index(said[-1]) + 1]
    for number in itertools.count():
        yield Wait(0.001)
        text = b' w%d"' % number
        last = said[-1].data
        yield said[-1] if is_loop else Event(_LAST_WORD.sub(text, last, count=1), 1)


def _sliced(steps: Iterable[Step], size: int, pause_s: float) -> Iterator[Step]:
    for step in steps:
        if not isinstance(step, Event):
            yield step
            continue
        for at in range(0, len(step.data), size):
            part = step.data[at : at + size]
            yield Event(part, step.tokens if at + size >= len(step.data) else 0)
            yield Wait(pause_s)


def reformat(reply: Reply, faults: dict[str, int | None]) -> Reply:
    """Apply what is unusual but legal: clients must see the same events."""
    if "wrong-content-type" in faults:
        reply.headers = {**reply.headers, "content-type": "text/plain"}
    if reply.length is None:
        for name in ("duplicate-chunks", "crlf", "comments", "multi-line-data", "no-space", "bom"):
            if name in faults:
                reply.steps = _rewritten(reply.steps, name)
    if "gzip" in faults:
        body = b"".join(step.data for step in reply.steps if isinstance(step, Event))
        packed = gzip.compress(body)
        reply.headers = {**reply.headers, "content-encoding": "gzip"}
        reply.steps = [Event(packed)]
        reply.length = None if reply.length is None else len(packed)
    if "one-write" in faults:
        events = [step for step in reply.steps if isinstance(step, Event)]
        size = sum(event.tokens for event in events)
        reply.steps = [Event(b"".join(event.data for event in events), size)]
    if "one-byte-slices" in faults or "split-utf8" in faults:
        reply.steps = _sliced(reply.steps, 1, 0)
    if "slow-headers" in faults:
        reply.head_steps = (Wait((faults["slow-headers"] or 1000) / 1000),)
    return reply


def _rewritten(steps: Iterable[Step], name: str) -> Iterator[Step]:
    is_first = True
    for step in steps:
        if not isinstance(step, Event):
            yield step
            continue
        data = _rewrite(step.data, name)
        if name == "bom" and is_first:
            data = b"\xef\xbb\xbf" + data
        is_first = False
        yield Event(data, step.tokens)
        if name == "duplicate-chunks" and step.tokens:
            yield Event(step.data)


def _rewrite(data: bytes, name: str) -> bytes:
    if name == "crlf":
        return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if name == "comments":
        return b": keep-alive\n\nid: 7\nretry: 100\n" + data
    if name == "no-space":
        return data.replace(b"data: ", b"data:", 1)
    if name == "multi-line-data":
        head, mark, rest = data.partition(b"data: ")
        text = rest.strip()
        if text.startswith(b"{"):
            lines = json.dumps(json.loads(text), ensure_ascii=False, indent=1).encode()
            return head + mark + lines.replace(b"\n", b"\ndata: ") + b"\n\n"
    return data


def in_order(reply: Reply, answer: Answer) -> Reply:
    """Apply the answer's own pace and hold."""
    if answer.pace_s:
        reply.steps = paced(reply.steps, answer.pace_s)
    if answer.hold_after is not None:
        if reply.length is not None:
            reply.steps = [Hold(answer.gate), *reply.steps]
        else:
            reply.steps = held(reply.steps, answer.hold_after, answer.gate)
    return reply
