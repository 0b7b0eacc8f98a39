"""Thought signatures, which must come back with a call, carried in the call's id.

OpenAI's clients send back ids and drop members that they do not know, so the id is the one
place that survives (ai.google.dev/gemini-api/docs/thought-signatures).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

_MARK = "__thought__"
# Google's word for "this call was not made by a model that signs", as the base64 it travels in.
UNSIGNED = base64.b64encode(b"skip_thought_signature_validator").decode()


def sign(call_id: str, signature: Any) -> str:
    """The id that the client gets."""
    return f"{call_id}{_MARK}{signature}" if isinstance(signature, str) and signature else call_id


def split(call_id: str) -> tuple[str, str | None]:
    """The id as the provider knows it, and the signature if it carries one."""
    bare, mark, signature = call_id.partition(_MARK)
    return (bare, signature) if mark else (call_id, None)


def made_id(answer_id: str, candidate: int, position: int) -> str:
    """An id for a call that came without one: the same for the same answer."""
    seed = f"{answer_id}/{candidate}/{position}".encode()
    return "call_" + hashlib.blake2b(seed, digest_size=12).hexdigest()
