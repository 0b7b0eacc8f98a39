"""Django's cache in a real server, and while that is away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from apps.billing.shared_cache import SharedCache
from chatvault.settings.redis import RedisSettings
from tests.servers.valkey import ValkeyServer

PARAMS = {"KEY_PREFIX": "chatvault:web"}


@pytest.fixture
def caches(settings: Any, redis_server: ValkeyServer) -> list[SharedCache]:
    """Two processes' caches of one server."""
    redis = RedisSettings().model_copy(update={"url": SecretStr(redis_server.url)})
    settings.CHATVAULT = replace(settings.CHATVAULT, redis=redis)
    return [SharedCache("", dict(PARAMS)), SharedCache("", dict(PARAMS))]


def test_what_one_process_counts_the_others_see(caches: list[SharedCache]) -> None:
    one, other = caches
    assert one.add("a", 1, 60) is True and other.add("a", 1, 60) is False
    assert [one.incr("a"), other.incr("a"), one.get("a")] == [2, 3, 3]
    other.delete("a")
    assert one.get("a") is None
    with pytest.raises(ValueError, match="not found"):
        one.incr("a")


def test_without_the_server_each_process_counts_alone_and_comes_back(
    caches: list[SharedCache], redis_server: ValkeyServer
) -> None:
    one = caches[0]
    one.clear()
    one.set("a", 5, 60)
    redis_server.pause()
    try:
        assert one.incr("a") == 1  # what was begun there cannot be known here
        assert one.add("b", 1, 60) is True and one.incr("b") == 2
    finally:
        redis_server.resume()
    one._failed_at = 0.0  # a second later
    assert one.get("a") == 5
