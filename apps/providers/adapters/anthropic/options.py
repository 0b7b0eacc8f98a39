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
    default_max_tokens: int = 4096
    thinking: Thinking | None = None
    structured_output: StructuredOutput | None = None
    auth: Literal["x-api-key", "bearer"] = "x-api-key"


_VERSION = re.compile(r"claude-[a-z]+-(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
_FIRST_ADAPTIVE = (4, 6)
_FIRST_STRUCTURED = (4, 5)


def read_options(options: dict[str, Any]) -> Options:
    """Raises ValueError, whose text names the field, for what is not an option."""
    known = msgspec.convert(options, Options)
    if known.default_max_tokens < 1:
        raise ValueError("It must be positive - at `$.default_max_tokens`")
    return known


def version_of(model: str) -> tuple[int, int]:
    """(4, 5) of claude-sonnet-4-5-20250929; (0, 0) of names that tell none."""
    match = _VERSION.search(model)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else (0, 0)


def thinking_of(options: Options, model: str) -> Thinking:
    if options.thinking is not None:
        return options.thinking
    return "adaptive" if version_of(model) >= _FIRST_ADAPTIVE else "budget"


def structured_output_of(options: Options, model: str) -> StructuredOutput:
    if options.structured_output is not None:
        return options.structured_output
    return "native" if version_of(model) >= _FIRST_STRUCTURED else "tool"
