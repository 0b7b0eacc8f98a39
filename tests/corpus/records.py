"""Recorded exchanges with real providers, and what the gateway owes for each of them.

The corpus is not part of the project: CHATVAULT_SHARED (default `../shared`) says where it lies.
Usage is read here by a reader of its own, so that the gateway's reader is compared with another.
"""

import base64
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

CORPUS = Path(os.environ.get("CHATVAULT_SHARED", "../shared")) / "corpus" / "exchanges.jsonl"
Json = dict[str, Any]


class Kind(StrEnum):
    """How a record is replayed."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    GEMINI_EMBEDDINGS = "gemini embeddings"
    UNFIT = "unfit"


# Endings of paths that no OpenAI request of ours can reach, and why.
UNFIT: dict[str, str] = {
    "/responses": "the Responses API is another interface",
    "/responses/compact": "the Responses API is another interface",
    "/responses/input_tokens": "the Responses API is another interface",
    "/vector_stores": "vector stores are not proxied",
    "/files": "files are not proxied",
    "/messages/count_tokens": "counting tokens is not proxied",
    "/count-tokens": "counting tokens is not proxied",
    ":countTokens": "counting tokens is not proxied",
    "/tokenize": "counting tokens is not proxied",
    "/cachedContents": "context caches are not proxied",
    "upload": "uploads are not proxied",
    "/invoke": "Bedrock and its event streams are the litellm family's",
    "/converse": "Bedrock and its event streams are the litellm family's",
    "/converse-stream": "Bedrock and its event streams are the litellm family's",
    "/v2/chat": "Cohere is the litellm family's",
    "/v2/embed": "Cohere is the litellm family's",
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts as the gateway books them: whole counts include their parts."""

    input: int
    output: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Record:
    """One exchange as it was on the wire."""

    id: str
    provider: str
    path: str
    request: Json
    status: int
    headers: dict[str, str]
    body: bytes

    @cached_property
    def kind(self) -> Kind:
        if self.unfit_reason is not None:
            return Kind.UNFIT
        if self.path.startswith("/v1/messages"):
            return Kind.ANTHROPIC
        if self.path.endswith(":batchEmbedContents"):
            return Kind.GEMINI_EMBEDDINGS
        return Kind.GEMINI if "enerateContent" in self.path else Kind.OPENAI

    @property
    def unfit_reason(self) -> str | None:
        path = self.path.partition("#")[0].partition("?")[0]
        if path.startswith("/upload/"):
            return UNFIT["upload"]
        return next((why for end, why in UNFIT.items() if path.endswith(end)), None)

    @property
    def operation(self) -> str:
        return "embeddings" if self.path.endswith("/embeddings") else "chat"

    @property
    def model(self) -> str:
        if self.kind in (Kind.GEMINI, Kind.GEMINI_EMBEDDINGS):
            return self.path.rpartition("/models/")[2].partition(":")[0]
        return str(self.request["model"])

    @property
    def is_stream(self) -> bool:
        return self.headers["content-type"].startswith("text/event-stream")

    @property
    def is_error(self) -> bool:
        return self.status >= 400

    @cached_property
    def json(self) -> Json:
        """A whole answer's body."""
        body: Json = json.loads(self.body)
        return body

    @cached_property
    def events(self) -> list[tuple[str, Json]]:
        """(event name, data) of a stream, without comments and the end mark."""
        found = []
        for block in self.body.decode().replace("\r\n", "\n").split("\n\n"):
            lines = block.split("\n")
            name = next((line[7:].strip() for line in lines if line.startswith("event:")), "")
            data = "".join(line[5:].strip() for line in lines if line.startswith("data:"))
            if data and data != "[DONE]":
                found.append((name, json.loads(data)))
        return found

    @property
    def breaks_off(self) -> Json | None:
        """The error that a stream ends with, if it does."""
        if not self.is_stream:
            return None
        return next((data["error"] for _, data in self.events if "error" in data), None)

    @cached_property
    def tokens(self) -> Tokens | None:
        """What the provider said was used; None where it said nothing."""
        read = {
            Kind.OPENAI: _openai,
            Kind.ANTHROPIC: _anthropic,
            Kind.GEMINI: _gemini,
            Kind.GEMINI_EMBEDDINGS: _gemini,
        }
        told = read[self.kind](self)
        return None if self.is_error else told


def _openai(record: Record) -> Tokens | None:
    told = [data for _, data in record.events] if record.is_stream else [record.json]
    usage = next((one["usage"] for one in reversed(told) if one.get("usage")), None)
    if usage is None:
        return None
    prompt, output = usage["prompt_tokens"], usage.get("completion_tokens", 0)
    # Gemini's OpenAI path leaves its thoughts out of the one count and in the other.
    output = max(output, usage["total_tokens"] - prompt)
    of_input = usage.get("prompt_tokens_details") or {}
    of_output = usage.get("completion_tokens_details") or {}
    cached = [
        of_input.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),  # DeepSeek
        usage.get("num_cached_tokens"),  # Mistral
        usage.get("cached_tokens"),  # Together
    ]
    return Tokens(
        prompt,
        output,
        cached=max(count or 0 for count in cached),
        cache_write=of_input.get("cache_write_tokens") or 0,
        reasoning=min(of_output.get("reasoning_tokens") or 0, output),
    )


def _anthropic(record: Record) -> Tokens | None:
    if record.is_stream:
        usage: Json = {}
        for name, data in record.events:
            if name == "message_start":
                usage |= data["message"]["usage"]
            elif name == "message_delta":
                usage |= {key: value for key, value in data["usage"].items() if value is not None}
    else:
        usage = record.json.get("usage") or {}
    if not usage:
        return None
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    details = usage.get("output_tokens_details") or {}
    return Tokens(
        usage["input_tokens"] + (read or 0) + (written or 0),
        usage["output_tokens"],
        cached=read or 0,
        cache_write=written or 0,
        reasoning=details.get("thinking_tokens") or 0,
    )


def _gemini(record: Record) -> Tokens | None:
    told = [data for _, data in record.events] if record.is_stream else [record.json]
    usage = next((one["usageMetadata"] for one in reversed(told) if one.get("usageMetadata")), None)
    if usage is None:
        return None
    thoughts = usage.get("thoughtsTokenCount", 0)
    # What Google's tools read is input; only what its search finds is not billed as tokens.
    read = 0 if b'"webSearchQueries"' in record.body else usage.get("toolUsePromptTokenCount", 0)
    return Tokens(
        usage.get("promptTokenCount", 0) + read,
        usage.get("candidatesTokenCount", 0) + thoughts,
        cached=usage.get("cachedContentTokenCount", 0),
        reasoning=thoughts,
    )


def load() -> list[Record]:
    """Every record, in order; none when the corpus is not there."""
    if not CORPUS.exists():
        return []
    with CORPUS.open() as lines:
        return [_record(json.loads(line)) for line in lines]


def _record(line: Json) -> Record:
    text: str = line.pop("body")
    if text.startswith("base64:"):
        body = base64.b64decode(text.removeprefix("base64:"))
    else:
        body = text.encode()
    return Record(body=body, **line)
