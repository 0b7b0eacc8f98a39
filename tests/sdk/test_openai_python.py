"""The official openai package for Python, unchanged but for its base URL, against the gateway."""

import asyncio
import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from apps.billing.limits import BudgetLimit, QuotaLimit
from tests.fakes.upstream import ToolCall

HELLO: Any = [{"role": "user", "content": "Hello there"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
FAMILIES = ("openai", "anthropic", "gemini", "litellm")


class City(BaseModel):
    city: str


@pytest.fixture
def offered(gateway, upstream):
    """One alias for each family, and a key for all of them."""
    gateway.add_model("openai", upstream.openai_url)
    gateway.add_model("anthropic", upstream.anthropic_url, family="anthropic")
    gateway.add_model("gemini", upstream.gemini_url, family="gemini")
    through = {"litellm_provider": "anthropic"}
    gateway.add_model("litellm", upstream.anthropic_url, family="litellm", options=through)
    gateway.add_model("embedder", upstream.openai_url, model="text-embedding-3-small")
    return gateway.add_client()


@pytest.fixture
def client(gateway, offered):
    with openai.OpenAI(base_url=gateway.openai_url, api_key=offered, max_retries=0) as made:
        yield made


@pytest.mark.parametrize("family", FAMILIES)
class TestChat:
    def test_answer(self, client, gateway, family):
        reply = client.chat.completions.create(model=family, messages=HELLO)
        assert reply.choices[0].message.content == "You said: Hello there"
        assert reply.choices[0].finish_reason == "stop"
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 4)
        [settle] = gateway.settled()
        assert (settle.usage.input_tokens, settle.usage.output_tokens) == (2, 4)

    def test_stream(self, client, gateway, family):
        stream = client.chat.completions.create(model=family, messages=HELLO, stream=True)
        chunks = list(stream)
        said = [chunk.choices[0].delta.content or "" for chunk in chunks]
        assert "".join(said) == "You said: Hello there"
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert all("usage" not in chunk.model_fields_set for chunk in chunks)
        assert gateway.settled()[0].usage.output_tokens == 4

    def test_stream_with_usage(self, client, family):
        stream = client.chat.completions.create(
            model=family, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        last = list(stream)[-1]
        assert last.choices == []
        assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (2, 4)

    def test_tool_round_trip(self, client, upstream, family):
        first = client.chat.completions.create(model=family, messages=HELLO, tools=[WEATHER])
        assert first.choices[0].finish_reason == "tool_calls"
        [call] = first.choices[0].message.tool_calls
        assert call.function.name == "get_weather"
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        told: Any = [*HELLO, first.choices[0].message.model_dump(exclude_none=True)]
        told.append({"role": "tool", "tool_call_id": call.id, "content": "sunny in Paris"})
        second = client.chat.completions.create(model=family, messages=told, tools=[WEATHER])
        assert second.choices[0].finish_reason == "stop"
        assert "sunny in Paris" in upstream.last.body.decode()

    def test_streamed_tools(self, client, upstream, family):
        calls = [ToolCall("get_weather", '{"city":"Rome"}', "call_a"),
                 ToolCall("get_weather", '{"city":"New York"}', "call_b")]  # fmt: skip
        upstream.will_answer(tool_calls=calls)
        with client.chat.completions.stream(
            model=family, messages=HELLO, tools=[WEATHER]
        ) as stream:
            made = stream.get_final_completion().choices[0].message.tool_calls
        assert [call.function.parsed_arguments for call in made] == [
            {"city": "Rome"},
            {"city": "New York"},
        ]
        assert len({call.id for call in made}) == 2

    def test_parsed_answer(self, client, upstream, family):
        upstream.will_answer('{"city":"Oslo"}')
        reply = client.chat.completions.parse(
            model=family, messages=HELLO, response_format=City, max_tokens=100
        )
        assert reply.choices[0].message.parsed == City(city="Oslo")

    def test_cut_short(self, client, family):
        reply = client.chat.completions.create(model=family, messages=HELLO, max_tokens=2)
        assert reply.choices[0].message.content == "You said:"
        assert reply.choices[0].finish_reason == "length"


def test_many_choices_with_logprobs(client):
    reply = client.chat.completions.create(model="openai", messages=HELLO, n=3, logprobs=True)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len(reply.choices[2].logprobs.content) == 4
    assert reply.usage.completion_tokens == 12


def test_image_and_unknown_fields_arrive_untouched(client, upstream):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    extra: Any = {"a_new_field": {"deep": [1, 2.50, None]}, "seed": 7}
    client.chat.completions.create(
        model="openai",
        messages=[{"role": "user", "content": [{"type": "text", "text": "see"}, picture]}],
        extra_body=extra,
    )
    assert upstream.last.json["messages"][0]["content"][1] == picture
    assert upstream.last.json["a_new_field"] == {"deep": [1, 2.5, None]}
    assert b"2.5" in upstream.last.body


def test_completions(client):
    reply = client.completions.create(model="openai", prompt="Hi all")
    assert reply.choices[0].text == "You said: Hi all"
    chunks = list(client.completions.create(model="openai", prompt="Hi all", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "You said: Hi all"


def test_embeddings(client, gateway):
    packed = client.embeddings.create(model="embedder", input=["one two", "three"])
    plain = client.embeddings.create(
        model="embedder", input=["one two", "three"], encoding_format="float"
    )
    assert packed.data[1].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)
    assert [settle.usage.input_tokens for settle in gateway.settled()] == [3, 3]


def test_embeddings_of_gemini(client):
    packed = client.embeddings.create(model="gemini", input="one two")
    plain = client.embeddings.create(model="gemini", input="one two", encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding, abs=1e-6)


def test_models(client, gateway):
    names = {model.id for model in client.models.list()}
    assert names == {"openai", "anthropic", "gemini", "litellm", "embedder"}
    assert client.models.retrieve("gemini").id == "gemini"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")
    narrow = gateway.add_client(aliases=frozenset({"openai"}))
    assert [model.id for model in client.with_options(api_key=narrow).models.list()] == ["openai"]


def test_headers_that_clients_read(client):
    raw = client.chat.completions.with_raw_response.create(
        model="openai", messages=HELLO, extra_headers={"x-client-request-id": "mine-1"}
    )
    assert raw.request_id is not None
    assert raw.headers["x-client-request-id"] == "mine-1"
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.headers["x-chatvault-deployment"] == "openai@1"
    assert raw.headers["x-chatvault-cost-usd"] == "0.000010000"


class TestErrors:
    PROVIDERS = (
        ("fault:400", openai.BadRequestError, "invalid_value"),
        ("fault:context", openai.BadRequestError, "context_length_exceeded"),
        ("fault:404", openai.NotFoundError, "model_not_found"),
        ("fault:429", openai.RateLimitError, "upstream_rate_limited"),
        ("fault:401", openai.InternalServerError, "upstream_credential_refused"),
        ("fault:500", openai.InternalServerError, "upstream_error"),
        ("fault:html-200", openai.InternalServerError, "upstream_invalid"),
    )

    @pytest.mark.parametrize(("model", "error", "code"), PROVIDERS)
    def test_of_providers(self, gateway, upstream, model, error, code):
        gateway.add_model("m", upstream.openai_url, model=model)
        client = openai.OpenAI(
            base_url=gateway.openai_url, api_key=gateway.add_client(), max_retries=0
        )
        with pytest.raises(error) as caught, client:
            client.chat.completions.create(model="m", messages=HELLO)
        assert caught.value.code == code

    def test_of_callers(self, client, gateway, upstream):
        chat = client.chat.completions
        with pytest.raises(openai.NotFoundError) as unknown:
            chat.create(model="nothing", messages=HELLO)
        assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError):
            chat.create(model="openai", messages=HELLO, max_tokens=-1)
        with pytest.raises(openai.AuthenticationError) as wrong:
            client.with_options(api_key="cv_wrong").models.list()
        assert wrong.value.code == "invalid_api_key"
        disabled = client.with_options(api_key=gateway.add_client(key_is_active=False))
        with pytest.raises(openai.PermissionDeniedError):
            disabled.chat.completions.create(model="openai", messages=HELLO)
        assert upstream.seen == []

    def test_a_spent_budget_is_not_retried(self, client, gateway, upstream):
        poor = gateway.add_client(budgets=(BudgetLimit(1, 1_000, "month"),))
        eager = client.with_options(api_key=poor, max_retries=5)
        with pytest.raises(openai.APIStatusError) as caught:
            eager.chat.completions.create(model="openai", messages=HELLO)
        assert (caught.value.status_code, caught.value.code) == (402, "budget_exhausted")
        assert upstream.seen == []

    def test_a_rate_limit_is_retried_when_it_says(self, client, gateway):
        limited = gateway.add_client(quotas=(QuotaLimit(1, "requests", 1, 1),))
        patient = client.with_options(api_key=limited, max_retries=3)
        for _ in range(2):
            patient.chat.completions.create(model="openai", messages=HELLO)
        assert len(gateway.settled()) == 2

    @pytest.mark.parametrize("fault", ["reset-after-2", "eof-after-2", "ends-after-2",
                                       "error-event-after-2"])  # fmt: skip
    def test_a_broken_stream_raises(self, client, gateway, upstream, fault):
        gateway.add_model("m", upstream.openai_url, model=f"fault:{fault}")
        said = []
        with pytest.raises(openai.APIError):
            for chunk in client.chat.completions.create(model="m", messages=HELLO, stream=True):
                said.append(chunk.choices[0].delta.content)
        assert "".join(said) == "You said:"

    @pytest.mark.parametrize("family", ["anthropic", "gemini"])
    @pytest.mark.parametrize("fault", ["eof-after-2", "ends-after-2", "error-event-after-2"])
    def test_a_broken_translated_stream_raises(self, client, gateway, upstream, family, fault):
        url = upstream.gemini_url if family == "gemini" else upstream.anthropic_url
        gateway.add_model("m", url, family=family, model=f"fault:{fault}")
        said = []
        with pytest.raises(openai.APIError):
            for chunk in client.chat.completions.create(model="m", messages=HELLO, stream=True):
                said.append(chunk.choices[0].delta.content or "")
        assert "".join(said) == "You said:"
        assert gateway.settled()[0].outcome == "error"


async def test_two_hundred_at_once_get_their_own_answers(gateway, offered):
    async with openai.AsyncOpenAI(
        base_url=gateway.openai_url, api_key=offered, max_retries=0
    ) as client:

        async def ask(number: int) -> None:
            model = FAMILIES[number % 3]
            messages: Any = [{"role": "user", "content": f"nonce {number}"}]
            if number % 2:
                reply = await client.chat.completions.create(model=model, messages=messages)
                said = reply.choices[0].message.content
            else:
                stream = await client.chat.completions.create(
                    model=model, messages=messages, stream=True
                )
                said = "".join([part.choices[0].delta.content or "" async for part in stream])
            assert said == f"You said: nonce {number}"

        await asyncio.gather(*(ask(number) for number in range(200)))
    assert len(gateway.settled()) == 200
    assert len({one.request_id for one in gateway.settled()}) == 200
