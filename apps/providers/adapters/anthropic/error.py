"""Anthropic's error envelope (platform.claude.com/docs/en/api/errors)."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.providers.adapters.refusals import Detail, refusal
from chatvault.lib.errors import UpstreamError

_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TOO_LONG = ("prompt is too long", "exceed context limit")
_NO_CREDIT = "credit balance is too low"
_MAX_BODY = 256 * 1024


def read_error(status: int, headers: dict[str, str], body: bytes) -> UpstreamError:
    """Never raises."""
    try:
        told = msgspec.json.decode(body) if len(body) <= _MAX_BODY else None
    except (msgspec.DecodeError, RecursionError):
        told = None
    error = told.get("error") if isinstance(told, dict) else None
    return _refusal(status, headers, error)


def event_refusal(error: Any) -> UpstreamError:
    """The error object of an `error` event; its type tells the status."""
    kind = error.get("type") if isinstance(error, dict) else None
    return _refusal(_STATUS.get(kind, 502) if isinstance(kind, str) else 502, {}, error)


def _refusal(status: int, headers: dict[str, str], error: Any) -> UpstreamError:
    told = error if isinstance(error, dict) else {}
    message = told.get("message")
    message = message if isinstance(message, str) else ""
    lowered = message.lower()
    if _NO_CREDIT in lowered:  # sent as a 400, but it is ChatVault's account that is empty
        return refusal(402, headers, Detail())
    code = "context_length_exceeded" if any(said in lowered for said in _TOO_LONG) else ""
    if status == 404:
        code = "model_not_found" if "model" in lowered else "not_found_error"
    param = message.partition(":")[0] if status == 400 else ""
    param = param if "." in param and " " not in param else ""
    return refusal(status, headers, Detail(message=message, type="", code=code, param=param))
