from __future__ import annotations

from typing import Any

import pytest

from apps.configuration import job_queue
from tests.factories import World, make_world


@pytest.fixture
def world(db: None) -> World:
    return make_world(base_url="https://provider.example/v1")


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Which jobs were put into the queue; no broker is asked."""
    found: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(job_queue, "send", lambda row: found.append((row.task, row.arguments)))
    return found
