"""OpenTelemetry's SDK for the control plane: what its instrumentations tell of Django and Celery
goes the way of our own spans, with the attributes that are known to hold nobody's data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chatvault.lib.spans import Kind, Span, Value
from chatvault.lib.trace_context import TraceContext

Offer = Callable[[Sequence[Span]], object]

# Names of attributes that are exported. Query strings, headers, arguments and messages are not.
ATTRIBUTES: Final = frozenset(
    {
        *("http.request.method", "http.method", "http.route", "http.response.status_code"),
        *("http.status_code", "http.scheme", "url.scheme", "network.protocol.version"),
        *("celery.action", "celery.task_name", "celery.state", "celery.retries"),
        *("messaging.message.id", "messaging.operation", "messaging.destination"),
        *("error.type", "exception.type"),
    }
)
_NOT_TRACED: Final = "livez,readyz,metrics,static/"


class Handover(SpanProcessor):
    """Hands finished spans to the exporter's queue."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if context is not None and context.trace_flags.sampled:
            self._offer([converted(span)])


class TrustedContext(TraceContextTextMapPropagator):
    """Goes on in the trace that a message of our own queue names, and in that of an HTTP client
    only where the operator says so."""

    def __init__(self, *, continues: bool) -> None:
        self._continues = continues

    def extract(
        self, carrier: Any, context: Context | None = None, getter: Getter[Any] | None = None
    ) -> Context:
        from opentelemetry.instrumentation.celery import CeleryGetter

        if not (self._continues or isinstance(getter, CeleryGetter)):
            return context if context is not None else Context()
        return super().extract(carrier, context, getter or _DEFAULT_GETTER)


_DEFAULT_GETTER: Final[Getter[Any]] = propagate.textmap.default_getter


def instrument_django() -> None:
    """Before the handler loads its middleware, which may be before the fork: a tracer that is
    asked for early begins to work when there is a provider."""
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    DjangoInstrumentor().instrument(excluded_urls=_NOT_TRACED)


def start(offer: Offer, *, service: str, ratio: float, continues: bool) -> None:
    """One provider for this process, after the fork; the children of a worker inherit it."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource({"service.name": service}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(Handover(offer))
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(TrustedContext(continues=continues))
    CeleryInstrumentor().instrument()


def converted(span: ReadableSpan) -> Span:
    """A span of the SDK as ours: attributes by the list, no descriptions, no stacks."""
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    attributes: dict[str, Value] = {
        name: value
        for name, value in (span.attributes or {}).items()
        if name in ATTRIBUTES and isinstance(value, str | bool | int | float)
    }
    for event in span.events:
        kind = (event.attributes or {}).get("exception.type")
        if isinstance(kind, str):
            attributes["exception.type"] = kind
    kind_number: Kind = span.kind.value + 1  # type: ignore[assignment]
    return Span(
        name=span.name,
        kind=kind_number,
        trace_id=context.trace_id.to_bytes(16, "big"),
        span_id=context.span_id.to_bytes(8, "big"),
        parent_id=parent.span_id.to_bytes(8, "big") if parent is not None else b"",
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        attributes=attributes,
        state=context.trace_state.to_header(),
        is_error=span.status.status_code is StatusCode.ERROR,
        links=tuple(
            TraceContext(
                link.context.trace_id.to_bytes(16, "big"), link.context.span_id.to_bytes(8, "big")
            )
            for link in span.links
        ),
    )
