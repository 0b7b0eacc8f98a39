"""What a fake provider says, in no provider's format: text, tool calls, usage, its breaks."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts with OpenAI's meaning: cached ⊂ prompt, reasoning ⊂ completion.

    Nothing checks the values, so that a script can claim nonsense.
    """

    prompt: int
    completion: int
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0


class UsageMode(StrEnum):
    """Where and how often the usage is told."""

    NORMAL = "normal"
    NONE = "none"
    NULL = "null"
    TWICE = "twice"
    EVERY_CHUNK = "every-chunk"
    ON_LAST_CHOICE = "on-last-choice"
    DECREASING = "decreasing"
    UNASKED = "unasked"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool; `arguments` is JSON text as a model writes it."""

    name: str
    arguments: str = "{}"
    id: str = "call_fake_0"


class Gate:
    """Holds an answer back until a test opens it."""

    def __init__(self) -> None:
        self.is_open = False

    def open(self) -> None:
        self.is_open = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished thought of the fake model. One piece is one token and one stream event."""

    pieces: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    usage: Usage | None = None
    usage_mode: UsageMode = UsageMode.NORMAL
    hold_after: int | None = None
    gate: Gate = field(default_factory=Gate)
    pace_s: float = 0.0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """Tokens of one choice: its pieces and those of its tool calls' arguments."""
        return len(self.pieces) + sum(len(tokens(call.arguments)) for call in self.tool_calls)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that the provider itself reports, in its own envelope."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes exactly as given; a sequence is sent chunk by chunk."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Sequence[bytes]
    pause_s: float = 0.0
    hold_after: int | None = None
    gate: Gate = field(default_factory=Gate)


@dataclass(frozen=True, slots=True)
class Event:
    """One stream event on the wire and the tokens it carries."""

    data: bytes
    tokens: int = 0


_TOKEN = re.compile(r"\s*\S+|\s+$")


def tokens(text: str) -> list[str]:
    """Split into the fake's tokens: words with the space before them; `"".join` gives it back."""
    return _TOKEN.findall(text)


def strings_in(value: Any) -> Iterator[str]:
    """Every text that a model would read in a message, whatever the provider calls it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)
    elif isinstance(value, dict):
        for key in ("text", "content", "parts", "messages", "contents", "input", "prompt"):
            yield from strings_in(value.get(key))
        for key in ("system", "systemInstruction", "system_instruction", "instances", "requests"):
            yield from strings_in(value.get(key))


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """What the fake counts as prompt: words of all texts, at least one."""
    return max(1, sum(len(tokens(text)) for text in strings_in(dict(body))))


def sample_of(schema: Any) -> Any:
    """The smallest deterministic value that fits a JSON schema well enough for a tool call."""
    if not isinstance(schema, dict):
        return None
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return sample_of(schema[key][0])
    match str(schema.get("type", "object")).lower():
        case "object":
            return {name: sample_of(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [sample_of(schema.get("items", {"type": "string"}))]
        case "integer" | "number":
            return 7
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "Paris"


def sample_json(schema: Any) -> str:
    """`sample_of` as compact JSON text."""
    return json.dumps(sample_of(schema), separators=(",", ":"))
