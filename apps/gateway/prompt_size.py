"""Tokens of a prompt: text by its bytes, pictures and files by what vendors count them as."""

from __future__ import annotations

import msgspec

from apps.billing.pricing import estimate_prompt_tokens

# Tokens of one part: about what it counts as, and the most (vendors' pages on vision and files).
# A picture's bytes say nothing of its tokens: vendors count its area, and that up to a limit.
IMAGE = (1_000, 5_000)
FILE = (10_000, 200_000)  # as long as the contexts that take files
AUDIO_BYTES_A_TOKEN = (1_000, 32)  # of base64; the low one is that of a very low bit rate
TOOLS = 800  # the vendors' own instructions around tools (Anthropic adds the most)

_TEXT = frozenset({"text", "refusal", "thinking", "redacted_thinking", "input_text"})


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()


class _Prompt(msgspec.Struct):
    messages: list[_Message]


_decode_prompt = msgspec.json.Decoder(_Prompt).decode
_decode_parts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_name = msgspec.json.Decoder(str).decode


def prompt_size(body: bytes) -> tuple[int, int]:
    """The estimated tokens of a chat request's prompt, and the most that they can be.

    A token of text is never shorter than a byte.
    """
    size = len(body)
    tools = TOOLS if b"tools" in body else 0
    if b'"type"' not in body and b"\\u00" not in body:  # parts have a type, spelt out or escaped
        return estimate_prompt_tokens(size), size + tools
    text, estimate, most = _weigh_parts(body)
    return estimate_prompt_tokens(text) + estimate, text + most + tools


def _weigh_parts(body: bytes) -> tuple[int, int, int]:
    """Bytes of text, and of all else the estimated tokens and the most."""
    text, estimate, most = len(body), 0, 0
    try:
        for message in _decode_prompt(body).messages:
            if bytes(message.content)[:1] != b"[":
                continue
            for part in _decode_parts(message.content):
                kind = _decode_name(part["type"]) if "type" in part else "text"
                if kind in _TEXT or kind not in part:
                    continue
                medium = bytes(part[kind])
                text -= len(medium)
                about, at_most = _weigh(kind, medium)
                estimate, most = estimate + about, most + at_most
    except (msgspec.DecodeError, RecursionError):
        return len(body), 0, 0  # no provider reads it as parts either
    return text, estimate, most


def _weigh(kind: str, medium: bytes) -> tuple[int, int]:
    size = len(medium)
    if kind == "image_url":
        return IMAGE
    if kind == "input_audio":
        return size // AUDIO_BYTES_A_TOKEN[0], size // AUDIO_BYTES_A_TOKEN[1]
    if b"application/pdf" in medium:
        return max(FILE[0], min(size // 20, FILE[1])), FILE[1]
    return max(FILE[0], size // 5), max(FILE[1], size)
