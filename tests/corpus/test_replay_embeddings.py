"""Gemini's own embeddings through OpenAI's endpoint: the same vectors, the same usage."""

import pytest
from openai.types import CreateEmbeddingResponse

from tests.corpus.records import Kind, load
from tests.corpus.test_replay import ALIAS, ids
from tests.gateway.testbed import SECRET

RECORDS = [one for one in load() if one.kind is Kind.GEMINI_EMBEDDINGS]


@pytest.mark.parametrize("record", **ids(RECORDS))
def test_embeddings(record, gateway, upstream, http):
    gateway.add_model(ALIAS, upstream.gemini_url, family="gemini", model=record.model)
    upstream.will_reply_raw(record.status, record.headers, record.body)
    asked = record.request["requests"]
    request = {"model": ALIAS, "input": [one["content"]["parts"][0]["text"] for one in asked]}
    if "outputDimensionality" in asked[0]:
        request["dimensions"] = asked[0]["outputDimensionality"]
    reply = http.post(
        f"{gateway.openai_url}/embeddings",
        json=request,
        headers={"authorization": f"Bearer {gateway.add_client()}"},
    )
    assert upstream.last.saw_secret(SECRET)
    assert upstream.last.json == {"requests": [without_task(one) for one in asked]}
    [settle] = gateway.wait_settled()
    assert reply.status_code == record.status
    if record.is_error:
        assert reply.json()["error"]["message"] == record.json["error"]["message"]
        assert (settle.outcome, settle.charged_nano) == ("error", 0)
        return
    answer = CreateEmbeddingResponse.model_validate(reply.json(), strict=True)
    told = [one["values"] for one in record.json["embeddings"]]
    assert [one.embedding for one in answer.data] == told
    usage = record.json.get("usageMetadata")
    assert settle.usage_source == ("provider" if usage else "estimated")
    if usage:
        assert settle.usage.input_tokens == answer.usage.prompt_tokens
        assert settle.usage.input_tokens == usage["promptTokenCount"]


def without_task(asked):
    """OpenAI's format has no word for what the vector is meant for."""
    return {key: value for key, value in asked.items() if key != "taskType"}
