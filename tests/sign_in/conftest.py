"""People who sign in, with hashes that are as cheap as tests may want them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _cheap_and_uncounted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Argon2 with the least of everything; nothing that was counted for other tests."""
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2PasswordHasher, "memory_cost", 8)
    monkeypatch.setattr(Argon2PasswordHasher, "parallelism", 1)
    cache.clear()
    yield
    cache.clear()
