"""Spans of requests and of the calls to providers, written by hand: what is not sampled costs one
comparison, what is costs a few microseconds, and the rest is the exporter's thread.

Names follow OpenTelemetry's semantic conventions for generative AI, which are still in
development; the constants are ours. No content, no keys, no headers.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from apps.gateway.contracts import Candidate, GatewayRequest, Headers
from chatvault.lib import clock, trace_context
from chatvault.lib.errors import ChatVaultError, UpstreamError, UpstreamRefused
from chatvault.lib.ids import random_bytes
from chatvault.lib.spans import CLIENT, SERVER, Event, Span, Value
from chatvault.lib.trace_context import TraceContext, traceparent

if TYPE_CHECKING:
    from apps.gateway.meter import Meter
    from apps.providers.adapters.contract import UpstreamRequest

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK_S: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
ERROR_TYPE: Final = "error.type"
STATUS: Final = "http.response.status_code"

_OPERATIONS: Final = {"completions": "text_completion"}
_ROUTES: Final = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
_PROVIDERS: Final = {"gemini": "gcp.gemini"}
_MODEL: Final = re.compile(rb'"model"\s*:\s*"([A-Za-z0-9_.:/@+ \-]{1,200})"')
_REASON: Final = re.compile(rb'"finish_reason"\s*:\s*"([a-z_]{1,40})"')
_PLAIN: Final = re.compile(r"[a-z_]{1,40}")


class AttemptSpan(msgspec.Struct):
    """One call to a provider while it runs; 0: it has not ended."""

    span_id: bytes
    candidate: Candidate
    start_ns: int
    end_ns: int = 0
    status: int = 0
    code: str = ""


class Trace(msgspec.Struct):
    """A sampled request while it runs. It knows the request's data, never the request."""

    trace_id: bytes
    span_id: bytes
    start_ns: int
    began: float  # clock.monotonic at `start_ns`
    tells: frozenset[str]
    parent: TraceContext | None = None
    link: TraceContext | None = None
    attempts: list[AttemptSpan] = []
    answered_by: str = ""
    reasons: list[str] = []

    def pack(self) -> bytes:
        """For the journal: what follows from the request belongs to its trace."""
        return self.trace_id + self.span_id + b"\1"

    def now_ns(self) -> int:
        """Never before the start, whatever the clock does."""
        return self.start_ns + int((clock.monotonic() - self.began) * 1e9)

    def attempt(
        self, candidate: Candidate, request: UpstreamRequest | None
    ) -> UpstreamRequest | None:
        """A call begins. Returns the request as it is to be sent."""
        span_id = random_bytes(8)
        self.attempts.append(AttemptSpan(span_id, candidate, self.now_ns()))
        if request is None or not self.tells or not self._is_told(candidate):
            return request
        told = [("traceparent", traceparent(self.trace_id, span_id))]
        if self.parent is not None and self.parent.state:
            told.append(("tracestate", self.parent.state))
        return msgspec.structs.replace(request, headers=(*request.headers, *told))

    def _is_told(self, candidate: Candidate) -> bool:
        url = urlsplit(candidate.endpoint.base_url)
        return url.hostname in self.tells or url.netloc.rpartition("@")[2] in self.tells

    def attempt_failed(self, error: UpstreamError) -> None:
        attempt = self.attempts[-1]
        attempt.end_ns = self.now_ns()
        attempt.code = error.public_code
        if isinstance(error, UpstreamRefused):
            attempt.status = error.upstream_status

    def answer(self, body: bytes, reasons: list[str]) -> None:
        """What an answer, or the beginning of a stream, says of itself."""
        if found := _MODEL.search(body[:2_000]):
            self.answered_by = found[1].decode()
        said = reasons or [one.decode() for one in _REASON.findall(body[-4_000:])]
        self.reasons = [one for one in said[:8] if _PLAIN.fullmatch(one)]


class Tracer:
    """Begins traces and hands their spans on. `offer` takes them or drops them; it never waits."""

    def __init__(
        self,
        offer: Callable[[list[Span]], object],
        *,
        ratio: float = 1.0,
        continues: bool = False,
        tells: frozenset[str] = frozenset(),
    ) -> None:
        self._offer = offer
        self._ratio = ratio
        self._continues = continues
        self._tells = tells

    def begin(self, headers: Headers) -> Trace | None:
        """None: this request is not sampled."""
        if not self._continues:
            if self._ratio < 1.0 and random.random() >= self._ratio:  # noqa: S311 – no secret
                return None
            return self._new(None, _client_context(headers))
        parent = _client_context(headers)
        if parent is not None:
            return self._new(parent, None) if parent.is_sampled else None
        if random.random() >= self._ratio:  # noqa: S311 – it chooses what is looked at
            return None
        return self._new(None, None)

    def _new(self, parent: TraceContext | None, link: TraceContext | None) -> Trace:
        return Trace(
            trace_id=parent.trace_id if parent is not None else random_bytes(16),
            span_id=random_bytes(8),
            start_ns=clock.wall_ns(),
            began=clock.monotonic(),
            tells=self._tells,
            parent=parent,
            link=link,
            attempts=[],
            reasons=[],
        )

    def finished(self, trace: Trace, meter: Meter) -> None:
        """The request's books are closed."""
        request = meter.request
        end_ns = trace.now_ns()
        more = _of_the_answer(trace, meter)
        events: tuple[Event, ...] = ()
        if meter.first_token_at >= 0:
            first_s = meter.first_token_at - request.started
            more[FIRST_CHUNK_S] = round(first_s, 6)
            events = (Event("gen_ai.first_chunk", trace.start_ns + int(first_s * 1e9)),)
        spans = [
            _server(
                trace,
                request,
                end_ns,
                status=meter.http_status,
                code=meter.error_code,
                more=more,
                events=events,
            )
        ]
        for number, attempt in enumerate(trace.attempts, start=1):
            is_last = number == len(trace.attempts)
            if not attempt.end_ns:
                attempt.end_ns = end_ns
                attempt.code = meter.error_code
                attempt.status = 200 if meter.outcome == "ok" else 0
            spans.append(_attempt(trace, request, attempt, number, more if is_last else {}))
        self._offer(spans)

    def refused(self, trace: Trace, request: GatewayRequest, error: ChatVaultError) -> None:
        """The request ended before it had books."""
        status, code = error.http_status, error.public_code
        self._offer([_server(trace, request, trace.now_ns(), status=status, code=code, more={})])


def _of_the_answer(trace: Trace, meter: Meter) -> dict[str, Value]:
    usage = meter.usage
    more: dict[str, Value] = {"chatvault.outcome": meter.outcome}
    if meter.usage_source != "none":
        more[INPUT_TOKENS], more[OUTPUT_TOKENS] = usage.input_tokens, usage.output_tokens
        if usage.cached_input_tokens:
            more[CACHED_TOKENS] = usage.cached_input_tokens
        if usage.reasoning_tokens:
            more[REASONING_TOKENS] = usage.reasoning_tokens
    if trace.answered_by:
        more[RESPONSE_MODEL] = trace.answered_by
    if trace.reasons:
        more[FINISH_REASONS] = trace.reasons
    return more


def _server(
    trace: Trace,
    request: GatewayRequest,
    end_ns: int,
    *,
    status: int,
    code: str,
    more: dict[str, Value],
    events: tuple[Event, ...] = (),
) -> Span:
    operation = _OPERATIONS.get(request.operation, request.operation)
    attributes: dict[str, Value] = {
        OPERATION: operation,
        "http.request.method": "POST",
        "http.route": _ROUTES.get(request.operation, "/v1/embeddings"),
        STATUS: status,
        "chatvault.request_id": request.id.hex(),
        "chatvault.stream": request.stream,
        **more,
    }
    if request.alias:
        attributes[REQUEST_MODEL] = request.alias
    if request.key is not None:
        attributes["chatvault.client_id"] = request.key.client_id
        attributes["chatvault.key_id"] = request.key.key_id
    if code:
        attributes[ERROR_TYPE] = code
    return Span(
        name=f"{operation} {request.alias}" if more else operation,  # else it may be any text
        kind=SERVER,
        trace_id=trace.trace_id,
        span_id=trace.span_id,
        parent_id=trace.parent.span_id if trace.parent is not None else b"",
        start_ns=trace.start_ns,
        end_ns=end_ns,
        attributes=attributes,
        state=trace.parent.state if trace.parent is not None else "",
        is_error=status >= 500 or bool(code and status < 400),
        events=events,
        links=(trace.link,) if trace.link is not None else (),
    )


def _attempt(
    trace: Trace,
    request: GatewayRequest,
    attempt: AttemptSpan,
    number: int,
    more: dict[str, Value],
) -> Span:
    deployment, endpoint = attempt.candidate.deployment, attempt.candidate.endpoint
    operation = _OPERATIONS.get(request.operation, request.operation)
    attributes: dict[str, Value] = {
        **more,
        OPERATION: operation,
        PROVIDER: _PROVIDERS.get(endpoint.family, endpoint.family),
        REQUEST_MODEL: endpoint.model,
        "server.address": urlsplit(endpoint.base_url).hostname or "",
        "chatvault.provider": deployment.provider,
        "chatvault.deployment": deployment.name,
        "chatvault.attempt": number,
    }
    if attempt.status:
        attributes[STATUS] = attempt.status
    if attempt.code:
        attributes[ERROR_TYPE] = attempt.code
    return Span(
        name=f"{operation} {endpoint.model}",
        kind=CLIENT,
        trace_id=trace.trace_id,
        span_id=attempt.span_id,
        parent_id=trace.span_id,
        start_ns=attempt.start_ns,
        end_ns=attempt.end_ns,
        attributes=attributes,
        state=trace.parent.state if trace.parent is not None else "",
        is_error=bool(attempt.code),
    )


def _client_context(headers: Headers) -> TraceContext | None:
    parent = state = b""
    for name, value in headers:
        if name == b"traceparent":
            parent = value
        elif name == b"tracestate":
            state = value
    return trace_context.parse(parent, state) if parent else None
