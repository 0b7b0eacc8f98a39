"""Spans as OTLP's protobuf (opentelemetry/proto/collector/trace/v1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    InstrumentationScope,
    KeyValue,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from chatvault.lib.spans import Span, Value


def encode(spans: Iterable[trace_pb2.Span], resource: Resource) -> bytes:
    scoped = trace_pb2.ScopeSpans(scope=InstrumentationScope(name="chatvault"), spans=spans)
    whole = trace_pb2.ResourceSpans(resource=resource, scope_spans=[scoped])
    return ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString()


def resource_of(attributes: Mapping[str, Value]) -> Resource:
    return Resource(attributes=_attributes(attributes))


def message_of(span: Span) -> trace_pb2.Span:
    failed = trace_pb2.Status.StatusCode.STATUS_CODE_ERROR
    return trace_pb2.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        trace_state=span.state,
        name=span.name,
        kind=trace_pb2.Span.SpanKind.ValueType(span.kind),
        start_time_unix_nano=span.start_ns,
        end_time_unix_nano=max(span.end_ns, span.start_ns),
        attributes=_attributes(span.attributes),
        events=[
            trace_pb2.Span.Event(
                time_unix_nano=event.at_ns,
                name=event.name,
                attributes=_attributes(event.attributes),
            )
            for event in span.events
        ],
        links=[
            trace_pb2.Span.Link(
                trace_id=link.trace_id, span_id=link.span_id, trace_state=link.state
            )
            for link in span.links
        ],
        status=trace_pb2.Status(code=failed) if span.is_error else None,
    )


def _attributes(values: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in values.items()]


def _value(value: Value) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=one) for one in value]))
