"""A client's request as arguments of `litellm.acompletion` and `litellm.aembedding`."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.contract import Call, Endpoint
from apps.providers.adapters.litellm.options import Options
from chatvault.lib.errors import InvalidField, MalformedJson

# An allow-list: many names mean something else to litellm, as `api_base` or `mock_response`.
_CHAT = frozenset(
    {
        *("messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k"),
        *("n", "stop", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "user"),
        *("logprobs", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls"),
        *("functions", "function_call", "response_format", "reasoning_effort", "thinking"),
        *("modalities", "audio", "prediction", "service_tier", "verbosity"),
    }
)
_EMBEDDINGS = frozenset({"input", "dimensions", "encoding_format", "user"})


def arguments(call: Call, endpoint: Endpoint, options: Options) -> dict[str, Any]:
    """Raises MalformedJson, or InvalidField for a request without what litellm must have."""
    try:
        told = msgspec.json.decode(call.body)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedJson from None
    if not isinstance(told, dict):
        raise MalformedJson
    allowed, needed = (
        (_EMBEDDINGS, "input") if call.operation == "embeddings" else (_CHAT, "messages")
    )
    made = {name: value for name, value in told.items() if name in allowed and value is not None}
    if not made.get(needed):
        raise InvalidField("It must not be empty.", param=needed)
    if call.max_output_tokens is not None and call.operation == "chat":
        made.pop("max_completion_tokens", None)
        made["max_tokens"] = call.max_output_tokens
    own: dict[str, Any] = {}
    if call.operation == "chat":
        own["_skip_mcp_handler"] = True  # tools are the client's; litellm must not call servers
    if call.stream:
        made |= {"stream": True, "stream_options": {"include_usage": True}}
    return {
        **made,
        **options.params,
        **own,
        "model": f"{options.litellm_provider}/{endpoint.model}",
        "api_key": endpoint.secret.reveal() if endpoint.secret else None,
        "api_base": endpoint.base_url or None,
        "timeout": options.total_s,
        "max_retries": 0,
        "num_retries": 0,
        "no-log": True,
    }
