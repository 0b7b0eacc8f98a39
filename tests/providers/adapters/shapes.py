"""Calls and endpoints for the tests of adapters."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.providers.adapters.contract import Call, Endpoint, Operation
from chatvault.lib.redact import Secret

CANARY = "sk-canary-0123456789abcdef"


def call(body: dict[str, Any] | None = None, operation: Operation = "chat", **more: Any) -> Call:
    if body is None:
        body = {"model": "alias", "messages": [{"role": "user", "content": "Hi"}]}
    told = {"alias": "alias", "request_id": "0198-test", **more}
    return Call(operation=operation, body=json.dumps(body).encode(), **told)


def endpoint(family: str, model: str = "upstream-model", **options: Any) -> Endpoint:
    return Endpoint(family, "https://provider.test/v1", model, Secret(CANARY), options)


def exchanges() -> Iterator[dict[str, Any]]:
    """The recorded exchanges; skips where they are not at hand."""
    shared = Path(os.environ.get("CHATVAULT_SHARED", "../shared"))
    corpus = shared / "corpus" / "exchanges.jsonl"
    if not corpus.exists():
        pytest.skip(f"the recorded exchanges are not at {corpus}")
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def is_stream(exchange: dict[str, Any]) -> bool:
    return "event-stream" in exchange["headers"].get("content-type", "")
