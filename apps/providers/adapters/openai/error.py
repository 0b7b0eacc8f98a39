"""OpenAI's error envelope, and the variants of it that vendors send."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.refusals import Detail, refusal
from chatvault.lib.errors import UpstreamError

_decode = msgspec.json.Decoder().decode
_MAX_BODY = 256 * 1024


def read_error(status: int, headers: dict[str, str], body: bytes) -> UpstreamError:
    """Never raises. Knows {"error": {…}}, {"error": "…"}, {"message": …} and {"detail": …}."""
    return refusal(status, headers, _detail(_object(body)))


def in_band_refusal(error: bytes) -> UpstreamError:
    """The error object that a provider sends with status 200, often in the midst of a stream.

    Its `code` or `status_code` may be the HTTP status that it would have been (OpenRouter, Groq).
    """
    told = _object(error)
    status = next(
        (told[name] for name in ("status_code", "code", "status") if _is_status(told.get(name))),
        None,
    )
    detail = _detail({"error": told})
    if status is None:
        status = 400 if detail.type == "invalid_request_error" else 502
    return refusal(status, {}, detail)


def _is_status(value: Any) -> bool:
    return type(value) is int and 400 <= value <= 599


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > _MAX_BODY:
        return {}
    try:
        told = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    if isinstance(told, list) and told:
        told = told[0]
    return told if isinstance(told, dict) else {}


def _detail(told: dict[str, Any]) -> Detail:
    error = told.get("error", told)
    if isinstance(error, str):
        return Detail(message=error)
    if not isinstance(error, dict):
        return Detail()
    message = error.get("message", error.get("detail"))
    return Detail(
        message=_text(message),
        type=_text(error.get("type")),
        code=_text(error.get("code")),
        param=_text(error.get("param")),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
