"""Django's cache in Redis, by the settings that the limits have: alone, Sentinels, or a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache, RedisCacheClient

from apps.billing import shared_limits
from apps.billing.limits.redis.books import RedisError, client_of

_TIMEOUT_S: Final = 0.25
_REST_S: Final = 1.0
_T = TypeVar("_T")


class _Client(RedisCacheClient):
    """Over one connection of this process, another after a fork."""

    def __init__(self, _servers: Any, **options: Any) -> None:
        super().__init__([""], **options)
        self._pid = 0
        self._redis: Any = None

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        if self._redis is None or self._pid != os.getpid():
            self._redis = client_of(shared_limits.address(), timeout_s=_TIMEOUT_S)
            self._pid = os.getpid()
        return self._redis


class SharedCache(RedisCache):
    """While Redis is away each process goes on with a cache of its own, so that whoever signs in
    can, and is still counted; after a failure nobody waits for Redis for a second."""

    def __init__(self, server: Any, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Client
        self._alone = LocMemCache("without-redis", params)
        self._failed_at = 0.0

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None
    ) -> bool:
        return self._either(
            lambda: super(SharedCache, self).add(key, value, timeout, version),
            lambda: self._alone.add(key, value, timeout, version),
        )

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return self._either(
            lambda: super(SharedCache, self).get(key, default, version),
            lambda: self._alone.get(key, default, version),
        )

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None
    ) -> None:
        self._either(
            lambda: super(SharedCache, self).set(key, value, timeout, version),
            lambda: self._alone.set(key, value, timeout, version),
        )

    def delete(self, key: Any, version: Any = None) -> bool:
        return self._either(
            lambda: super(SharedCache, self).delete(key, version),
            lambda: self._alone.delete(key, version),
        )

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        return self._either(
            lambda: super(SharedCache, self).touch(key, timeout, version),
            lambda: self._alone.touch(key, timeout, version),
        )

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        """Raises ValueError for a key that is not known; what was begun before Redis went away
        is begun anew here."""
        return self._either(
            lambda: super(SharedCache, self).incr(key, delta, version),
            lambda: self._count_alone(key, delta, version),
        )

    def clear(self) -> None:
        """The server holds more than this cache, so nothing there is emptied."""
        self._alone.clear()

    def _count_alone(self, key: Any, delta: int, version: Any) -> int:
        self._alone.add(key, 0, None, version)
        return self._alone.incr(key, delta, version)

    def _either(self, shared: Callable[[], _T], alone: Callable[[], _T]) -> _T:
        if self._failed_at and time.monotonic() - self._failed_at < _REST_S:
            return alone()
        try:
            found = shared()
        except RedisError:
            self._failed_at = time.monotonic()
            return alone()
        self._failed_at = 0.0
        return found
