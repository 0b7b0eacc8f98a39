"""What litellm's transformation makes of a recorded answer: a second opinion, end to end."""

import json
import os
from dataclasses import dataclass
from typing import Any

from tests.corpus.answers import Said
from tests.corpus.records import Kind, Record
from tests.fakes.upstream import FakeUpstream

_ASKED = [{"role": "user", "content": "What it is asked does not change how it reads answers."}]


@dataclass
class Opinion:
    """As litellm tells it."""

    said: Said
    prompt_tokens: int
    completion_tokens: int


def opinion(record: Record, upstream: FakeUpstream) -> Opinion:
    """Let litellm call the fake, which serves the recorded bytes."""
    litellm = _litellm()
    upstream.will_reply_raw(record.status, record.headers, record.body)
    if record.kind is Kind.GEMINI:
        family, base = "gemini", f"{upstream.gemini_url}/models/{record.model}"
    else:
        family, base = "anthropic", upstream.anthropic_url
    reply = litellm.completion(
        model=f"{family}/{record.model}", api_base=base, api_key="sk-oracle",
        max_retries=0, num_retries=0, messages=_ASKED, stream=record.is_stream,
    )  # fmt: skip
    if record.is_stream:
        reply = litellm.stream_chunk_builder(list(reply), messages=_ASKED)
    message = reply.choices[0].message
    said = Said(message.content or "", _calls(message), reply.choices[0].finish_reason)
    return Opinion(said, reply.usage.prompt_tokens, reply.usage.completion_tokens)


def _calls(message: Any) -> list[tuple[str, Any]]:
    return [
        (call.function.name, json.loads(call.function.arguments or "{}"))
        for call in message.tool_calls or []
    ]


def _litellm() -> Any:
    """Without its look-ups of prices, settings and models on the network."""
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
    import litellm

    litellm.telemetry = False
    litellm.disable_hf_tokenizer_download = True
    litellm.drop_params = True
    litellm.suppress_debug_info = True
    return litellm
