"""Spans of requests: one of the server, one of each call to a provider, as one tree."""

from __future__ import annotations

import pytest

from apps.gateway.steps import call as call_step
from apps.gateway.tracing import Tracer
from apps.usage.records import Intent
from chatvault.lib import trace_context
from chatvault.lib.spans import CLIENT, SERVER, Span
from chatvault.lib.trace_context import TraceContext
from tests.fakes.http import HTTP

HELLO = [{"role": "user", "content": "Hello there, a prompt"}]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-2] + "00"


class Sink(list[Span]):
    def __call__(self, spans: list[Span]) -> None:
        self.extend(spans)

    @property
    def server(self) -> Span:
        (span,) = (one for one in self if one.kind == SERVER)
        return span

    @property
    def attempts(self) -> list[Span]:
        return [one for one in self if one.kind == CLIENT]


@pytest.fixture
def sink(gateway) -> Sink:
    found = Sink()
    gateway.plane.watch(Tracer(found), 0.0)
    return found


def chat(gateway, key, model="m", **more):
    headers = {"authorization": f"Bearer {key}", **more.pop("headers", {})}
    body = {"model": model, "messages": HELLO, **more}
    return HTTP.post(f"{gateway.openai_url}/chat/completions", json=body, headers=headers)


def test_an_answered_request_is_a_span_with_its_call_below(gateway, upstream, sink):
    gateway.add_model("m", upstream.openai_url, model="gpt-4o-mini")
    answer = chat(gateway, gateway.add_client())
    assert answer.status_code == 200
    gateway.wait_for(lambda: len(sink) == 2)
    server, (attempt,) = sink.server, sink.attempts
    assert (server.name, attempt.name) == ("chat m", "chat gpt-4o-mini")
    assert (server.parent_id, attempt.parent_id) == (b"", server.span_id)
    assert server.trace_id == attempt.trace_id
    assert server.start_ns <= attempt.start_ns <= attempt.end_ns == server.end_ns
    usage = answer.json()["usage"]
    told = attempt.attributes
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.request.model"] == "gpt-4o-mini"
    assert told["gen_ai.response.model"] == answer.json()["model"]
    assert told["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert told["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
    assert told["gen_ai.response.finish_reasons"] == ["stop"]
    assert told["http.response.status_code"] == 200
    assert server.attributes["gen_ai.request.model"] == "m"
    assert server.attributes["chatvault.client_id"] == 1
    assert not server.is_error
    assert server.attributes["chatvault.request_id"] == (
        answer.headers["x-request-id"].replace("-", "")
    )


def test_a_stream_tells_its_first_chunk_and_why_it_ended(gateway, upstream, sink):
    gateway.add_model("m", upstream.openai_url)
    chat(gateway, gateway.add_client(), stream=True).read()
    gateway.wait_for(lambda: len(sink) == 2)
    server = sink.server
    assert server.attributes["chatvault.stream"] is True
    assert server.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    first_s = server.attributes["gen_ai.response.time_to_first_chunk"]
    (event,) = server.events
    assert event.name == "gen_ai.first_chunk"
    assert server.start_ns < event.at_ns < server.end_ns
    assert (event.at_ns - server.start_ns) / 1e9 == pytest.approx(first_s, abs=1e-5)


def test_each_call_is_a_span_of_its_own(gateway, upstream, sink):
    gateway.add_model("m", upstream.openai_url, models=["fault:401", "good"])
    assert chat(gateway, gateway.add_client()).status_code == 200
    gateway.wait_for(lambda: len(sink) == 3)
    first, second = sink.attempts
    assert first.attributes["error.type"] == "upstream_credential_refused"
    assert first.attributes["http.response.status_code"] == 401
    assert first.is_error
    assert not second.is_error
    assert first.end_ns <= second.start_ns
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert not sink.server.is_error


def test_a_request_that_failed_says_so(gateway, upstream, sink):
    gateway.add_model("m", upstream.openai_url, model="fault:500")
    assert chat(gateway, gateway.add_client()).status_code == 502
    assert sink.server.is_error
    assert sink.server.attributes["error.type"] == "upstream_error"
    assert sink.server.attributes["http.response.status_code"] == 502


def test_a_refused_request_is_one_span_without_what_was_asked_for(gateway, sink):
    key = gateway.add_client()
    assert chat(gateway, key, "any text of the caller").status_code == 404
    assert chat(gateway, "cv_unknown").status_code == 401
    assert [span.name for span in sink] == ["chat", "chat"]
    assert [span.attributes["error.type"] for span in sink] == [
        "model_not_found", "invalid_api_key",
    ]  # fmt: skip
    assert not any(span.is_error for span in sink)


def test_no_content_no_key_and_no_secret_is_told(gateway, upstream, sink):
    gateway.add_model("m", upstream.openai_url, models=["fault:401", "good"])
    key = gateway.add_client()
    answer = chat(gateway, key)
    chat(gateway, key, stream=True).read()
    gateway.wait_for(lambda: len(sink) == 6)
    told = repr(list(sink))
    words = answer.json()["choices"][0]["message"]["content"]
    for secret in (key, "sk-provider-secret", "a prompt", words):
        assert secret not in told


class TestTheClientsTrace:
    def test_it_is_linked_and_not_continued_unless_told_so(self, gateway, upstream, sink):
        gateway.add_model("m", upstream.openai_url)
        chat(gateway, gateway.add_client(), headers={"traceparent": PARENT})
        gateway.wait_for(lambda: len(sink) == 2)
        server = sink.server
        assert server.parent_id == b""
        assert server.trace_id.hex() != PARENT[3:35]
        assert [link.header() for link in server.links] == [PARENT]

    def test_it_is_continued_where_the_operator_says_so(self, gateway, upstream):
        sink = Sink()
        gateway.plane.watch(Tracer(sink, ratio=0.0, continues=True), 0.0)
        gateway.add_model("m", upstream.openai_url)
        key = gateway.add_client()
        chat(gateway, key, headers={"traceparent": PARENT, "tracestate": "a=1"})
        chat(gateway, key, headers={"traceparent": UNSAMPLED})
        chat(gateway, key)
        gateway.wait_for(lambda: len(sink) == 2)
        server = sink.server
        assert server.trace_id.hex() == PARENT[3:35]
        assert server.parent_id.hex() == PARENT[36:52]
        assert (server.state, server.links) == ("a=1", ())

    @pytest.mark.parametrize(
        "header",
        ["", "00", PARENT[:-1], PARENT + "x", PARENT.upper(), "ff" + PARENT[2:],
         "00-" + "0" * 32 + PARENT[35:], PARENT[:36] + "0" * 16 + "-01", PARENT + "-more"],
    )  # fmt: skip
    def test_what_is_not_valid_counts_for_nothing(self, header):
        assert trace_context.parse(header.encode()) is None

    def test_a_later_version_of_the_header_is_understood(self):
        found = trace_context.parse(b"01" + PARENT[2:].encode() + b"-more", b"k=v\x00")
        assert found == TraceContext(bytes.fromhex(PARENT[3:35]), bytes.fromhex(PARENT[36:52]))

    def test_packed_it_is_25_bytes(self):
        context = trace_context.parse(PARENT.encode())
        assert len(context.pack()) == 25
        assert trace_context.unpack(context.pack()) == context
        assert trace_context.unpack(b"") is None


class TestTheProvider:
    @pytest.mark.parametrize(
        ("tells", "is_told"),
        [(frozenset(), False), (frozenset({"127.0.0.1"}), True), (frozenset({"other"}), False)],
    )
    def test_is_told_the_trace_only_where_the_operator_says_so(
        self, gateway, upstream, monkeypatch, tells, is_told
    ):
        sink, sent = Sink(), []
        gateway.plane.watch(Tracer(sink, tells=tells), 0.0)
        send = gateway.plane.pool.send

        async def spy(request, deadlines):
            sent.append(dict(request.headers))
            return await send(request, deadlines)

        monkeypatch.setattr(gateway.plane.pool, "send", spy)
        gateway.add_model("m", upstream.openai_url)
        assert chat(gateway, gateway.add_client()).status_code == 200
        gateway.wait_for(lambda: len(sink) == 2)
        (attempt,) = sink.attempts
        told = trace_context.traceparent(attempt.trace_id, attempt.span_id)
        assert sent[0].get("traceparent") == (told if is_told else None)
        assert call_step  # the step that sends


def test_the_journal_carries_the_trace_of_a_sampled_request(gateway, upstream, sink):
    gateway.add_model("m", upstream.openai_url)
    key = gateway.add_client()
    chat(gateway, key)
    gateway.plane.watch(None, 0.0)
    chat(gateway, key)
    first, second = (one for one in gateway.records() if isinstance(one, Intent))
    packed = trace_context.unpack(first.trace)
    assert (packed.trace_id, packed.span_id) == (sink.server.trace_id, sink.server.span_id)
    assert second.trace == b""


def test_what_is_not_sampled_leaves_no_trace(gateway, upstream):
    sink = Sink()
    gateway.plane.watch(Tracer(sink, ratio=0.0), 0.0)
    gateway.add_model("m", upstream.openai_url)
    assert chat(gateway, gateway.add_client()).status_code == 200
    assert gateway.wait_settled()
    assert sink == []


def test_a_line_of_the_log_for_each_request_where_it_is_wanted(gateway, upstream, caplog):
    gateway.plane.watch(None, 1.0)
    gateway.add_model("m", upstream.openai_url)
    key = gateway.add_client()
    with caplog.at_level("INFO", "chatvault.access"):
        chat(gateway, key)
        chat(gateway, key, "nosuch")
    first, second = (one for one in caplog.records if one.name == "chatvault.access")
    assert (first.alias, first.status, first.code, first.deployment) == ("m", 200, "ok", "m@1")
    assert first.output_tokens > 0
    assert (second.status, second.code) == (404, "model_not_found")
