"""The corpus, and one client to replay it with."""

from __future__ import annotations

import httpx
import pytest

from tests.corpus.records import CORPUS
from tests.fakes.http import HTTP


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CORPUS.exists():
        return
    missing = pytest.mark.skip(reason=f"there is no corpus at {CORPUS}")
    for item in items:
        if item.path.parent.name == "corpus":
            item.add_marker(missing)


@pytest.fixture
def http() -> httpx.Client:
    return HTTP
