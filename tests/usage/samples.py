"""Records as the pipeline writes them, for tests."""

from typing import Any

from apps.providers.adapters.contract import Usage
from apps.usage.records import (
    AttemptEnd,
    AttemptStart,
    FaultRow,
    Intent,
    Progress,
    RefusedRow,
    Settle,
)
from chatvault.lib.ids import uuid7_bytes

AT_MS = 1_790_000_000_000  # 2026-09-21 13:33:20 UTC


def intent(request_id: bytes | None = None, **changes: Any) -> Intent:
    values: dict[str, Any] = {
        "request_id": request_id or uuid7_bytes(),
        "at_ms": AT_MS,
        "key_id": 11,
        "client_id": 21,
        "team_id": 31,
        "tier_id": 41,
        "markup_ppm": 0,
        "alias": "gpt-4o-mini",
        "operation": "chat",
        "stream": False,
        "revision": 7,
        "prompt_tokens": 100,
        "max_output_tokens": 1000,
        "reserved_nano": 615_000,
        "budgets": (),
    }
    return Intent(**(values | changes))


def start(request_id: bytes, number: int = 1, **changes: Any) -> AttemptStart:
    values: dict[str, Any] = {"at_ms": AT_MS + 5, "deployment_id": 51, "price_id": 61}
    return AttemptStart(request_id=request_id, number=number, **(values | changes))


def end(request_id: bytes, number: int = 1, **changes: Any) -> AttemptEnd:
    values: dict[str, Any] = {"at_ms": AT_MS + 205, "http_status": 200, "error_code": ""}
    return AttemptEnd(request_id=request_id, number=number, **(values | changes))


def progress(request_id: bytes, output_tokens: int, **changes: Any) -> Progress:
    values: dict[str, Any] = {"at_ms": AT_MS + 150}
    return Progress(request_id=request_id, output_tokens=output_tokens, **(values | changes))


def settle(request_id: bytes, **changes: Any) -> Settle:
    values: dict[str, Any] = {
        "at_ms": AT_MS + 210,
        "outcome": "ok",
        "http_status": 200,
        "error_code": "",
        "deployment_id": 51,
        "price_id": 61,
        "usage": Usage(input_tokens=90, output_tokens=40, cached_input_tokens=10),
        "usage_source": "provider",
        "cost_nano": 36_750,
        "charged_nano": 40_425,
        "latency_ms": 210,
        "first_token_ms": 150,
        "attempts": 1,
    }
    return Settle(request_id=request_id, **(values | changes))


def refused(count: int = 1, **changes: Any) -> RefusedRow:
    values: dict[str, Any] = {
        "client_id": 21,
        "key_id": 11,
        "alias": "gpt-5",
        "code": "model_not_allowed",
        "status": 403,
        "last_ms": AT_MS + 1_000,
        "message": "The key may not use the model 'gpt-5'.",
    }
    return RefusedRow(count=count, **(values | changes))


def fault(**changes: Any) -> FaultRow:
    values: dict[str, Any] = {
        "name": "ZeroDivisionError",
        "place": "apps.gateway.http.answer",
        "count": 1,
        "last_ms": AT_MS + 2_000,
        "detail": "division by zero (line 7)",
    }
    return FaultRow(**(values | changes))
