"""Google's error envelope: google.rpc.Status as JSON (cloud.google.com/apis/design/errors)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.providers.adapters.refusals import Detail, refusal
from chatvault.lib.errors import UpstreamError

_MAX_BODY = 256 * 1024
_DELAY = re.compile(r"(\d{1,6})(?:\.\d{1,9})?s")
_TOO_LONG = "exceeds the maximum number of tokens"


def read_error(status: int, headers: dict[str, str], body: bytes) -> UpstreamError:
    """Never raises. A bad key is a 400 there; it is told as what it is."""
    try:
        told = msgspec.json.decode(body) if len(body) <= _MAX_BODY else None
    except (msgspec.DecodeError, RecursionError):
        told = None
    if isinstance(told, list) and told:
        told = told[0]
    return _refusal(status, headers, told.get("error") if isinstance(told, dict) else None)


def event_refusal(error: Any) -> UpstreamError:
    """The error object in a stream; its code is the HTTP status that it would have been."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if type(code) is int and 400 <= code <= 599 else 502
    return _refusal(status, {}, error)


def _refusal(status: int, headers: dict[str, str], error: Any) -> UpstreamError:
    told = error if isinstance(error, dict) else {}
    message = told.get("message")
    message = message if isinstance(message, str) else ""
    details = [d for d in told.get("details") or [] if isinstance(d, dict)]
    if any(detail.get("reason") == "API_KEY_INVALID" for detail in details):
        status = 401
    elif told.get("status") == "FAILED_PRECONDITION":  # our account or region, not the request
        status = 502
    for detail in details:
        delay = _DELAY.fullmatch(str(detail.get("retryDelay")))
        if delay is not None and "retry-after" not in headers:
            headers = {**headers, "retry-after": str(int(delay.group(1)) + 1)}
    code = "context_length_exceeded" if _TOO_LONG in message else ""
    if status == 404:
        code = "model_not_found"
    return refusal(status, headers, Detail(message=message, code=code))
