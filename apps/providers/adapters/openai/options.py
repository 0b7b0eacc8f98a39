"""Declared differences of vendors: what `Endpoint.options` may say, and what is known already."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

StreamUsage = Literal["ask", "always", "never"]
MaxTokensField = Literal["max_tokens", "max_completion_tokens"]
Auth = Literal["bearer", "api-key", "none"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See README.md for what each means; None takes the vendor's preset."""

    vendor: str | None = None
    stream_usage: StreamUsage | None = None
    max_tokens_field: MaxTokensField | None = None
    auth: Auth | None = None
    api_version: str | None = None
    paths: dict[Literal["chat", "completions", "embeddings"], str] = {}
    organization: str | None = None
    project: str | None = None


class Vendor(msgspec.Struct, frozen=True):
    """What is known of a vendor. `hosts`: suffixes of the base URL's host name."""

    hosts: tuple[str, ...] = ()
    base_url: str = ""
    stream_usage: StreamUsage = "ask"
    max_tokens_field: MaxTokensField | None = None
    auth: Auth = "bearer"


UNKNOWN = Vendor()

VENDORS: dict[str, Vendor] = {
    "openai": Vendor(
        ("api.openai.com",), "https://api.openai.com/v1", max_tokens_field="max_completion_tokens"
    ),
    "azure": Vendor(
        (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"),
        max_tokens_field="max_completion_tokens",
        auth="api-key",
    ),
    "groq": Vendor(("api.groq.com",), "https://api.groq.com/openai/v1"),
    "mistral": Vendor(
        ("api.mistral.ai", "codestral.mistral.ai"),
        "https://api.mistral.ai/v1",
        stream_usage="always",
        max_tokens_field="max_tokens",
    ),
    "deepseek": Vendor(
        ("api.deepseek.com",), "https://api.deepseek.com/v1", max_tokens_field="max_tokens"
    ),
    "xai": Vendor(("api.x.ai",), "https://api.x.ai/v1"),
    "together": Vendor(
        ("api.together.xyz", "api.together.ai"),
        "https://api.together.xyz/v1",
        max_tokens_field="max_tokens",
    ),
    "fireworks": Vendor(
        ("api.fireworks.ai",),
        "https://api.fireworks.ai/inference/v1",
        max_tokens_field="max_tokens",
    ),
    "openrouter": Vendor(
        ("openrouter.ai",), "https://openrouter.ai/api/v1", max_tokens_field="max_tokens"
    ),
    "perplexity": Vendor(
        ("api.perplexity.ai",), "https://api.perplexity.ai", max_tokens_field="max_tokens"
    ),
    "cerebras": Vendor(("api.cerebras.ai",), "https://api.cerebras.ai/v1"),
    "huggingface": Vendor(
        ("router.huggingface.co",),
        "https://router.huggingface.co/v1",
        max_tokens_field="max_tokens",
    ),
    "ollama": Vendor((), "http://127.0.0.1:11434/v1", max_tokens_field="max_tokens"),
    "vllm": Vendor((), "http://127.0.0.1:8000/v1", max_tokens_field="max_tokens"),
    "llamacpp": Vendor((), "http://127.0.0.1:8080/v1", max_tokens_field="max_tokens"),
    "lmstudio": Vendor((), "http://127.0.0.1:1234/v1", max_tokens_field="max_tokens"),
}


def read_options(options: dict[str, Any]) -> Options:
    """Raises ValueError, whose text names the field, for what is not an option."""
    known = msgspec.convert(options, Options)
    if known.vendor is not None and known.vendor not in VENDORS:
        raise ValueError(f"Unknown vendor {known.vendor!r} - at `$.vendor`")
    for operation, path in known.paths.items():
        if not path.startswith("/") or not path.isascii() or not path.isprintable():
            raise ValueError(f"A path begins with a slash - at `$.paths.{operation}`")
    return known


def vendor_of(options: Options, base_url: str) -> Vendor:
    """The preset: by name if the options give one, else by the host of the base URL."""
    if options.vendor is not None:
        return VENDORS[options.vendor]
    host = urlsplit(base_url).hostname or ""
    for vendor in VENDORS.values():
        if any(host == h or (h[0] == "." and host.endswith(h)) for h in vendor.hosts):
            return vendor
    return UNKNOWN
