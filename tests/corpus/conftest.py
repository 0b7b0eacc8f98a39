"""The corpus, and one client to replay it with."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.corpus.records import CORPUS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CORPUS.exists():
        return
    missing = pytest.mark.skip(reason=f"there is no corpus at {CORPUS}")
    for item in items:
        if item.path.parent.name == "corpus":
            item.add_marker(missing)


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client
