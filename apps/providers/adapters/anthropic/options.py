"""Declared differences of Anthropic's models; a model's name tells most of them."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

Thinking = Literal["adaptive", "budget"]
StructuredOutput = Literal["native", "tool"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See README.md; None asks the model's name."""

    anthropic_version: str = "2023-06-01"
    anthropic_beta: str | None = None
    default_max_tokens: int | None = None
    thinking: Thinking | None = None
    structured_output: StructuredOutput | None = None
    auth: Literal["x-api-key", "bearer"] = "x-api-key"


# claude-sonnet-4-5-20250929 and the older claude-3-7-sonnet-20250219
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
_FIRST_ADAPTIVE = (4, 6)
_FIRST_STRUCTURED = (4, 5)
_MAX_OUTPUT = (((4, 5), 64_000), ((3, 7), 32_000), ((3, 5), 8192))
_LEAST_MAX_OUTPUT = 4096


def read_options(options: dict[str, Any]) -> Options:
    """Raises ValueError, whose text names the field, for what is not an option."""
    known = msgspec.convert(options, Options)
    if known.default_max_tokens is not None and known.default_max_tokens < 1:
        raise ValueError("It must be positive - at `$.default_max_tokens`")
    return known


def version_of(model: str) -> tuple[int, int]:
    """(4, 5) of claude-sonnet-4-5-20250929; (0, 0) of names that tell none."""
    match = _VERSION.search(model)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else (0, 0)


def default_max_tokens_of(options: Options, model: str) -> int:
    """What a request without a limit gets: the API demands one, OpenAI's format does not."""
    if options.default_max_tokens is not None:
        return options.default_max_tokens
    version = version_of(model)
    return next((most for first, most in _MAX_OUTPUT if version >= first), _LEAST_MAX_OUTPUT)


def thinking_of(options: Options, model: str) -> Thinking:
    if options.thinking is not None:
        return options.thinking
    return "adaptive" if version_of(model) >= _FIRST_ADAPTIVE else "budget"


def structured_output_of(options: Options, model: str) -> StructuredOutput:
    if options.structured_output is not None:
        return options.structured_output
    return "native" if version_of(model) >= _FIRST_STRUCTURED else "tool"
