"""Every refusal of the API in one envelope, the one that clients know from the gateway."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response

from chatvault.lib.errors import ChatVaultError

_TYPES = {
    400: ("invalid_request_error", "invalid_request"),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", "forbidden"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    406: ("invalid_request_error", "not_acceptable"),
    409: ("invalid_request_error", "conflict"),
    415: ("invalid_request_error", "unsupported_media_type"),
    429: ("rate_limit_error", "rate_limited"),
}


def envelope(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None: not an error of a caller; the 500 page answers."""
    if isinstance(error, ChatVaultError):
        _undo()
        return Response(error.openai(), status=error.http_status, headers=error.headers)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    _undo()
    kind, code = _TYPES.get(error.status_code, ("invalid_request_error", "invalid_request"))
    param, message = _first(error.detail)
    body: dict[str, dict[str, Any]] = {
        "error": {"message": message, "type": kind, "param": param, "code": code}
    }
    if isinstance(error, exceptions.ValidationError):
        body["error"]["fields"] = error.detail
    return Response(body, status=error.status_code, headers=_headers(error))


def _undo() -> None:
    """As DRF does: what the view wrote before it was refused does not stay."""
    connection = transaction.get_connection()
    if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
        connection.set_rollback(True)


def _first(detail: Any, path: str = "") -> tuple[str | None, str]:
    """The first problem and where it is."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            where = "" if name == "non_field_errors" else str(name)
            return _first(inner, f"{path}.{where}".strip("."))
    if isinstance(detail, list):
        return _first(detail[0], path) if detail else (path or None, "The request is not valid.")
    return path or None, str(detail)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    found = {}
    if header := getattr(error, "auth_header", None):
        found["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        found["Retry-After"] = str(max(1, int(wait)))
    return found
