"""Anthropic's and Gemini's own exchanges: an OpenAI request goes in, OpenAI's types come out.

Text, tool calls, finish reason and usage must equal the record's, and litellm's reading of it.
"""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.corpus.answers import Said, said_in
from tests.corpus.atoms import atoms_of_anthropic, atoms_of_gemini
from tests.corpus.inverse import openai_request
from tests.corpus.litellm_oracle import opinion
from tests.corpus.records import Kind, Record, Tokens, load
from tests.corpus.test_replay import ALIAS, KEPT_BACK, ids, tokens_of
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import INPUT_NANO, OUTPUT_NANO, SECRET, Gateway

RECORDS = [one for one in load() if one.kind in (Kind.ANTHROPIC, Kind.GEMINI)]
ANSWERS = [one for one in RECORDS if not one.is_error and not one.is_stream]
STREAMS = [one for one in RECORDS if one.is_stream]
ERRORS = [one for one in RECORDS if one.is_error]
SLICE = 997

# Where litellm counts otherwise, and why the provider's total says that it is wrong to.
LITELLM_COUNTS_OTHERWISE = {
    "test_anthropic/test_anthropic_advisor_tool_stream#0": "adds the advisor's own iterations",
}


def replay(record: Record, gateway: Gateway, upstream: FakeUpstream, http: Any, **more: Any) -> Any:
    """Serve the record and send a request that fits it; the gateway's reply."""
    if record.kind is Kind.GEMINI:
        family, base_url = "gemini", upstream.gemini_url
    else:
        family, base_url = "anthropic", upstream.anthropic_url
    gateway.add_model(ALIAS, base_url, family=family, model=record.model)
    body = record.body
    slices = [body[at : at + SLICE] for at in range(0, len(body), SLICE)]
    upstream.will_reply_raw(record.status, record.headers, slices if record.is_stream else body)
    reply = http.post(
        f"{gateway.openai_url}/chat/completions",
        json=openai_request(record) | {"model": ALIAS} | more,
        headers={"authorization": f"Bearer {gateway.add_client()}"},
    )
    assert len(upstream.seen) == 1, reply.text
    assert upstream.last.saw_secret(SECRET)
    assert SECRET not in upstream.last.path
    assert not [name for name in KEPT_BACK if name in reply.headers]
    read = atoms_of_gemini if record.kind is Kind.GEMINI else atoms_of_anthropic
    assert read(upstream.last.json) == read(record.request)
    return reply


def check_books(record: Record, gateway: Gateway, told: Any) -> None:
    """What was booked, what the client was told and what was recorded are the same."""
    [settle] = gateway.wait_settled()
    assert (settle.outcome, settle.usage_source) == ("ok", "provider")
    assert tokens_of(settle.usage) == record.tokens
    assert told is not None
    assert tokens_told(told) == record.tokens
    assert told.total_tokens == told.prompt_tokens + told.completion_tokens
    cost = record.tokens.input * INPUT_NANO + record.tokens.output * OUTPUT_NANO
    assert settle.charged_nano == cost


def tokens_told(usage: Any) -> Tokens:
    of_input, of_output = usage.prompt_tokens_details, usage.completion_tokens_details
    written = (of_input.cache_write_tokens or 0) if of_input else 0
    return Tokens(
        usage.prompt_tokens,
        usage.completion_tokens,
        cached=(of_input.cached_tokens or 0) if of_input else 0,
        cache_write=written,
        reasoning=(of_output.reasoning_tokens or 0) if of_output else 0,
    )


def check_litellm(record: Record, upstream: FakeUpstream, said: Said) -> None:
    theirs = opinion(record, upstream)
    # litellm takes the provider's own server tools for calls that the client should answer.
    own = {call[0] for call in said_in(record).calls}
    theirs.said.calls = [call for call in theirs.said.calls if call[0] in own]
    assert said == theirs.said
    assert record.tokens is not None
    counts = (theirs.prompt_tokens, theirs.completion_tokens)
    agrees = counts == (record.tokens.input, record.tokens.output)
    assert agrees == (record.id not in LITELLM_COUNTS_OTHERWISE)


@pytest.mark.parametrize("record", **ids(ANSWERS))
def test_answer(record, gateway, upstream, http):
    reply = replay(record, gateway, upstream, http)
    assert reply.status_code == 200, reply.text
    answer = ChatCompletion.model_validate(reply.json(), strict=True)
    message = answer.choices[0].message
    calls = [(call.function.name, json.loads(call.function.arguments))
             for call in message.tool_calls or []]  # fmt: skip
    said = Said(message.content or "", calls, answer.choices[0].finish_reason)
    assert said == said_in(record)
    assert len({call.id for call in message.tool_calls or []}) == len(calls)
    assert len(answer.choices) == 1
    check_books(record, gateway, answer.usage)
    check_litellm(record, upstream, said)


@pytest.mark.parametrize("record", **ids(STREAMS))
def test_stream(record, gateway, upstream, http):
    reply = replay(record, gateway, upstream, http)
    assert reply.status_code == 200, reply.text
    assert reply.text.endswith("data: [DONE]\n\n")
    chunks = chunks_of(reply.text)
    said = said_by(chunks)
    assert said == said_in(record)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    check_books(record, gateway, chunks[-1].usage)
    check_litellm(record, upstream, said)


@pytest.mark.parametrize("record", **ids(STREAMS))
def test_stream_without_asking_for_usage(record, gateway, upstream, http):
    reply = replay(record, gateway, upstream, http, stream_options=None)
    chunks = chunks_of(reply.text)
    assert said_by(chunks) == said_in(record)
    assert all("usage" not in chunk.model_fields_set and chunk.choices for chunk in chunks)
    [settle] = gateway.wait_settled()
    assert tokens_of(settle.usage) == record.tokens


def chunks_of(text: str) -> list[ChatCompletionChunk]:
    lines = [line[6:] for line in text.split("\n\n") if line.startswith("data: {")]
    return [ChatCompletionChunk.model_validate_json(line, strict=True) for line in lines]


def said_by(chunks: list[ChatCompletionChunk]) -> Said:
    """As the official SDKs put a stream together."""
    said, calls, finish = Said(), {}, []
    for chunk in chunks:
        for choice in chunk.choices:
            said.text += choice.delta.content or ""
            finish += [choice.finish_reason] if choice.finish_reason else []
            for call in choice.delta.tool_calls or []:
                known = calls.setdefault(call.index, {"id": call.id, "name": "", "arguments": ""})
                assert known["id"]
                known["name"] += call.function.name or ""
                known["arguments"] += call.function.arguments or ""
    [said.finish] = finish
    assert sorted(calls) == list(range(len(calls)))
    said.calls = [(one["name"], json.loads(one["arguments"])) for one in calls.values()]
    return said


@pytest.mark.parametrize("record", **ids(ERRORS))
def test_error(record, gateway, upstream, http):
    reply = replay(record, gateway, upstream, http)
    assert reply.status_code == record.status
    assert reply.json() == {
        "error": {
            "message": record.json["error"]["message"],
            "type": "invalid_request_error",
            "param": None,
            "code": "upstream_invalid_request",
        }
    }
    [settle] = gateway.wait_settled()
    assert (settle.outcome, settle.usage_source, settle.charged_nano) == ("error", "none", 0)
