"""Declared differences of Gemini's models and doors; a model's name tells most of them."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

Schemas = Literal["json", "openapi"]
Thinking = Literal["level", "budget"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See README.md; None asks the model's name."""

    auth: Literal["x-goog-api-key", "bearer"] = "x-goog-api-key"
    schemas: Schemas | None = None
    thinking: Thinking | None = None


_VERSION = re.compile(r"gemini-(\d{1,2})(?:\.(\d{1,2}))?")


def read_options(options: dict[str, Any]) -> Options:
    """Raises ValueError, whose text names the field, for what is not an option."""
    return msgspec.convert(options, Options)


def version_of(model: str) -> tuple[int, int]:
    """(2, 5) of gemini-2.5-flash; (0, 0) of names that tell none."""
    match = _VERSION.search(model)
    return (int(match.group(1)), int(match.group(2) or 0)) if match else (0, 0)


def is_third(model: str) -> bool:
    """Gemini 3 and later: calls have ids and must come back signed; thinking has levels."""
    return version_of(model) >= (3, 0)


def schemas_of(options: Options, model: str) -> Schemas:
    if options.schemas is not None:
        return options.schemas
    return "json" if version_of(model) >= (2, 0) else "openapi"


def thinking_of(options: Options, model: str) -> Thinking:
    if options.thinking is not None:
        return options.thinking
    return "level" if is_third(model) else "budget"
