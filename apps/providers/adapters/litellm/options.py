"""Which of litellm's providers it is, and what else that one needs."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]

# They fetch tokens or sign requests over connections of their own, past the upstream guard.
_NOT_GUARDED = frozenset({"vertex_ai", "vertex_ai_beta", "sagemaker", "sagemaker_chat", "oci"})

# What an admin may not set: where requests go, with which secret, and how often.
_OURS = frozenset(
    {
        *("model", "messages", "input", "stream", "stream_options", "api_key", "api_base"),
        *("base_url", "client", "custom_llm_provider", "max_retries", "num_retries", "fallbacks"),
        *("mock_response", "caching", "cache", "callbacks", "success_callback", "logger_fn"),
    }
)


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See README.md. `params` goes to litellm with every call."""

    litellm_provider: str
    params: dict[str, str | int | float | bool] = {}
    connect_s: Seconds = 5.0
    first_byte_s: Seconds = 120.0
    idle_s: Seconds = 60.0
    total_s: Seconds = 600.0


def read_options(options: dict[str, Any]) -> Options:
    """Raises ValueError, whose text names the field, for what is not an option."""
    known = msgspec.convert(options, Options)
    if known.litellm_provider in _NOT_GUARDED:
        raise ValueError(
            "This provider opens connections past the upstream guard - at `$.litellm_provider`"
        )
    for name in known.params:
        if name in _OURS:
            raise ValueError(f"It is not an admin's to set - at `$.params.{name}`")
    return known
