from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from apps.audit import guard


@pytest.fixture
def guarded(db: None) -> Iterator[None]:
    """The triggers that other tests do without, so that they can empty their tables."""
    guard.install(connection)
    yield
    guard.remove(connection)
