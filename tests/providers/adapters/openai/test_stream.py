import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.providers.adapters.contract import Usage
from apps.providers.adapters.openai.stream import open_stream
from chatvault.lib.errors import UpstreamBroken, UpstreamInvalid, UpstreamRefused
from tests.providers.adapters.shapes import call, endpoint, exchanges, is_stream
from tests.providers.adapters.slicing import bytewise, cut, run

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
DONE = b"data: [DONE]\n\n"


def chunk(delta=None, finish=None, **more) -> dict:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "choices": [choice], **more}


def frame(payload: dict, **dumps) -> bytes:
    return (
        b"data: " + json.dumps(payload, **(dumps or {"separators": (",", ":")})).encode() + b"\n\n"
    )


def text(*words: str, **more) -> list[dict]:
    return [chunk({"content": word}, **more) for word in words]


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk(finish="stop")
LAST = {"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}


def reader(wants_usage=False, **options):
    return open_stream(call(stream=True, wants_usage=wants_usage), endpoint("openai", **options))


def through(stream: bytes, wants_usage=False, **options) -> tuple[bytes, object]:
    one = reader(wants_usage, **options)
    return one.feed(stream) + one.finish(), one


def test_what_only_we_asked_for_is_taken_out_and_all_else_is_the_same_bytes():
    chunks = [ROLE, *text("Hel", "lo", " wor", "ld"), STOP]
    sent = b"".join(
        frame({**c, "usage": None, "obfuscation": "x" * i}) for i, c in enumerate(chunks)
    )
    out, one = through(sent + frame(LAST) + DONE)
    assert out == sent.replace(b',"usage":null', b"") + DONE
    assert one.usage == Usage(input_tokens=9, output_tokens=3)
    assert one.is_complete
    assert one.output_events == 4
    assert one.output_text_bytes == pytest.approx(len("Hello world"), abs=4)


def test_a_client_that_asked_for_usage_gets_every_byte():
    sent = b"".join(frame({**c, "usage": None}) for c in [ROLE, *text("Hello", " you"), STOP])
    stream = sent + frame(LAST) + DONE
    out, one = through(stream, wants_usage=True)
    assert out == stream
    assert one.usage == Usage(input_tokens=9, output_tokens=3)


def test_the_providers_end_is_held_back():
    one = reader(wants_usage=True)
    body = frame(ROLE) + frame(STOP)
    assert one.feed(body + frame(LAST) + DONE) == body
    assert one.finish() == frame(LAST) + DONE


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", " : ")])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_null_usage_goes_wherever_it_stands(separators, place):
    for words in (["a"], ["a", "b", "c", "d"]):
        chunks = [ROLE, *text(*words), STOP]
        kept = b"".join(frame(c, separators=separators) for c in chunks)
        with_null = []
        for c in chunks:
            items = list(c.items())
            items.insert({"first": 0, "middle": 2, "last": 3}[place], ("usage", None))
            with_null.append(frame(dict(items), separators=separators))
        out, _ = through(b"".join(with_null) + DONE)
        assert out == kept + DONE


def test_keys_named_usage_deeper_down_and_in_text_stay():
    tricky = [
        chunk({"content": 'say "usage":null, {"usage": {"prompt_tokens": 1}}'}),
        chunk({"content": "x", "usage": None, "extra": {"usage": None}}),
        {**chunk({"content": "y"}), "x_groq": {"usage": None, "id": "r"}},
        {**chunk({"content": "z"}), "x_groq": {"id": "r", "usage": {"prompt_tokens": 77}}},
        {"x_groq": {"usage": None}, **chunk({"content": "w"})},
    ]
    chunks = [ROLE, *text("a", "b"), *tricky, STOP]
    kept = b"".join(frame(c) for c in chunks)
    assert through(kept + DONE)[0] == kept + DONE
    both = b"".join(frame({**c, "usage": None}) for c in chunks)
    out, one = through(both + DONE)
    assert out == kept + DONE
    assert one.usage is None


def test_usage_on_the_last_choice_or_on_every_chunk_is_read_and_stripped():
    counts = [{"prompt_tokens": 9, "completion_tokens": n} for n in range(5)]
    chunks = [ROLE, *text("a", "b", "c"), STOP]
    sent = b"".join(frame({**c, "usage": u}) for c, u in zip(chunks, counts, strict=True))
    out, one = through(sent + DONE)
    assert out == b"".join(map(frame, chunks)) + DONE
    assert one.usage == Usage(input_tokens=9, output_tokens=4)
    assert through(sent + DONE, wants_usage=True)[0] == sent + DONE


def test_usage_that_a_vendor_sends_unasked_stays():
    sent = frame(ROLE) + frame({**STOP, "usage": USAGE})
    out, one = through(sent + DONE, stream_usage="always")
    assert out == sent + DONE
    assert one.usage == Usage(input_tokens=9, output_tokens=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_tokens": 9, "completion_tokens": -1},
        {"prompt_tokens": 9, "completion_tokens": 2**63},
        {"prompt_tokens": 9, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": 9},
        {"prompt_tokens": 9, "completion_tokens": 2.5},
        {},
        None,
    ],
)
def test_a_later_usage_that_is_not_valid_or_shrinks_is_ignored(wrong):
    stream = frame(ROLE) + frame({**STOP, "usage": USAGE}) + frame({**LAST, "usage": wrong}) + DONE
    assert through(stream)[1].usage == Usage(input_tokens=9, output_tokens=3)


def test_usage_in_the_midst_is_let_go_in_order_when_more_follows():
    stream = frame(ROLE) + frame(LAST) + b"".join(map(frame, text("a", "b", "c"))) + frame(STOP)
    assert through(stream + DONE, wants_usage=True)[0] == stream + DONE


def test_an_end_without_done_is_complete_once_a_finish_reason_was_seen():
    stream = frame(ROLE) + frame(STOP)
    assert through(stream)[0] == stream + DONE


@pytest.mark.parametrize("length", [0, 1, 3])
def test_an_end_before_a_finish_reason_is_broken(length):
    one = reader()
    stream = b"".join(map(frame, [ROLE, *text("a", "b", "c")][:length]))
    assert one.feed(stream) == stream
    with pytest.raises(UpstreamBroken):
        one.finish()
    assert not one.is_complete


@pytest.mark.parametrize("at", range(0, 5))
def test_an_error_in_the_stream_comes_after_what_was_delivered(at):
    before = b"".join(map(frame, [ROLE, *text("a", "b", "c")][:at]))
    error = {"error": {"message": "Key sk-abcdef123456789 is over", "type": "server_error"}}
    one = reader()
    if before:
        assert one.feed(before + frame(error)) == before
    with pytest.raises(UpstreamRefused) as caught:
        one.feed(frame(error) if not before else b"")
    assert caught.value.http_status == 502
    assert "sk-abc" not in caught.value.message
    with pytest.raises(UpstreamRefused):
        one.finish()


def test_the_status_that_an_error_event_names_is_the_status():
    one = reader()
    body = b'event: error\ndata: {"error":{"message":"bad tool","status_code":400}}\n\n'
    with pytest.raises(UpstreamRefused) as caught:
        one.feed(body)
    assert (caught.value.http_status, caught.value.message) == (400, "bad tool")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html><body>\n\nBad gateway</body></html>", UpstreamInvalid),
        (b'{"error":{"message":"no","type":"invalid_request_error"}}', UpstreamRefused),
        (b'{"choices":[]}', UpstreamInvalid),
        (b"data: {not json}\n\n", UpstreamInvalid),
        (b"data: [1]\n\n", UpstreamInvalid),
        (b"", UpstreamBroken),
        (b": just\n\n: comments\n\n", UpstreamBroken),
    ],
)
def test_what_is_no_stream_of_chunks_is_an_error(body, error):
    one = reader()
    with pytest.raises(error):
        one.feed(body)
        one.finish()


def test_legal_variants_of_the_protocol_are_understood():
    hello = json.dumps(chunk({"content": "Hé"}), ensure_ascii=False).encode()
    half = hello.index(b'"object"')
    variants = [
        b"\xef\xbb\xbf: first\n\ndata:" + hello + b"\n\n",
        b"id: 7\r\nevent: message\r\ndata: "
        + hello[:half]
        + b"\r\ndata: "
        + hello[half:]
        + b"\r\n\r\n",
        b"retry: 3000\rdata: " + hello + b"\r\r",
        b": keep-alive\n\n",
        b"data: " + json.dumps({**STOP, "usage": USAGE}).encode() + b"\n\r\n",
        b"data:[DONE]\n",
    ]
    out, one = through(b"".join(variants))
    assert one.usage == Usage(input_tokens=9, output_tokens=3)
    assert out.startswith(b": first\n\ndata:" + hello)
    assert out.endswith(frame(STOP, separators=(", ", ": ")) + DONE)


def test_a_line_of_two_megabytes_passes_in_time_and_in_full():
    big = frame(chunk({"content": "x" * 2_000_000}))
    stream = frame(ROLE) + frame(chunk({"content": "a"})) + big + frame(STOP) + DONE
    one = reader()
    out = b"".join(one.feed(stream[i : i + 4096]) for i in range(0, len(stream), 4096))
    assert out + one.finish() == stream
    assert one.output_text_bytes == pytest.approx(2_000_001, abs=200)


def test_duplicates_pass_but_are_counted_once():
    word = frame(chunk({"content": "again"}))
    stream = frame(ROLE) + word * 5 + frame(STOP)
    out, one = through(stream + DONE)
    assert out == stream + DONE
    assert one.output_events == 1


def test_completions_stream_too():
    def piece(words, finish=None):
        return {"id": "c", "choices": [{"index": 0, "text": words, "finish_reason": finish}]}

    stream = b"".join(map(frame, [piece("a"), piece("b"), piece("cd"), piece("", "stop")]))
    one = open_stream(
        call({"prompt": "x"}, operation="completions", stream=True), endpoint("openai")
    )
    assert one.feed(stream + frame(LAST) + DONE) + one.finish() == stream + DONE
    assert (one.output_events, one.output_text_bytes) == (3, 4)


json_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
deltas = st.one_of(
    st.builds(lambda t: {"content": t}, json_texts),
    st.builds(lambda t: {"reasoning_content": t, "usage": None}, json_texts),
    st.builds(lambda t: {"tool_calls": [{"index": 0, "function": {"arguments": t}}]}, json_texts),
)
usages = st.sampled_from(
    [
        {},
        {"usage": None},
        {"usage": USAGE},
        {"usage": {"prompt_tokens": -1}},
        {"usage": None, "obfuscation": "abc"},
        {"x_groq": {"usage": None}},
    ]
)
payloads = st.one_of(
    st.builds(lambda d, u: {**chunk(d), **u}, deltas, usages),
    st.builds(lambda d, u: {**u, **chunk(d)}, deltas, usages),
    st.builds(lambda u: {**chunk(finish="stop"), **u}, usages),
    st.just(LAST),
)
ends = st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n\n\n"])
blocks = st.one_of(
    st.builds(
        lambda p, end, space, tight: (
            b"data:" + space + json.dumps(p, separators=tight, ensure_ascii=False).encode() + end
        ),
        payloads,
        ends,
        st.sampled_from([b"", b" "]),
        st.sampled_from([(",", ":"), (", ", ": ")]),
    ),
    st.sampled_from(
        [
            b": ping\n\n",
            b"data: [DONE]\n\n",
            b"\xef\xbb\xbf",
            b'data: {"error":{"message":"x"}}\n\n',
            b"event: x\ndata: {}\r\n\r\n",
            b"data: {\ndata: }\n\n",
            b"data: rubbish\n\n",
            b"data: {",
        ]
    ),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(blocks, max_size=12).map(b"".join),
    st.lists(st.integers(0, 5000), max_size=30),
    st.booleans(),
)
def test_any_slicing_gives_the_same_stream(stream, points, wants_usage):
    whole = run(reader(wants_usage), [stream])
    assert run(reader(wants_usage), cut(stream, points)) == whole
    assert run(reader(wants_usage), bytewise(stream)) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(payloads, min_size=1, max_size=10))
def test_members_of_chunks_survive_but_for_usage(chunks):
    stream = b"".join(map(frame, [*chunks, STOP])) + DONE
    out, _ = through(stream)
    told = [json.loads(b[6:]) for b in out.split(b"\n\n") if b and b != b"data: [DONE]"]
    expected = [c for c in [*chunks, STOP] if c["choices"]]
    assert told == [{k: v for k, v in c.items() if k != "usage"} for c in expected]
    assert through(stream, wants_usage=True)[0] == stream


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_never_raises_anything_but_an_upstream_error(rubbish):
    run(reader(), [rubbish])
    run(reader(), [frame(ROLE), frame(ROLE), b"data: ", rubbish])


def test_every_recorded_stream_comes_out_as_it_went_in():
    seen = 0
    for exchange in exchanges():
        if not is_stream(exchange) or "chat/completions" not in exchange["path"]:
            continue
        body = exchange["body"].encode()
        asked = bool((exchange["request"].get("stream_options") or {}).get("include_usage"))
        result = run(reader(asked), [body])
        assert run(reader(asked), bytewise(body)) == result
        out, failure, usage, _, _ = result
        seen += 1
        if b'"error":{' in body:
            assert failure[:2] == ("UpstreamRefused", 400)
            assert body.startswith(out)
            continue
        assert usage is not None
        assert failure == ()
        assert out == body or not asked
    assert seen >= 8
