"""Where the queue is, for every way in which a broker is named, and how tasks are run there."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from chatvault.settings.celery import CelerySettings
from chatvault.settings.redis import RedisSettings

HOME = Path("/var/lib/chatvault")


def made(redis: dict[str, Any] | None = None, **own: Any) -> dict[str, Any]:
    return CelerySettings(**own).as_django(HOME, RedisSettings(**(redis or {})))


def test_files_and_threads_without_anything() -> None:
    found = made()
    assert found["CELERY_BROKER_URL"] == "filesystem://localhost"
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"]["data_folder_in"] == f"{HOME}/broker"
    assert found["CELERY_WORKER_POOL"] == "threads"
    assert "CELERY_TASK_TIME_LIMIT" not in found


def test_redis_and_processes_that_have_limits() -> None:
    found = made({"url": "redis://:secret@cache:6379/2", "prefix": "blue"}, time_limit_s=600)
    options = found["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert found["CELERY_BROKER_URL"] == "redis://:secret@cache:6379/2"
    assert options["global_keyprefix"] == "blue:celery:"
    assert found["CELERY_WORKER_POOL"] == "prefork"
    assert found["CELERY_TASK_TIME_LIMIT"] == 660
    assert options["visibility_timeout"] > found["CELERY_TASK_TIME_LIMIT"]
    assert found["CELERY_WORKER_MAX_MEMORY_PER_CHILD"] == 400 * 1024


@pytest.mark.parametrize(
    ("redis", "url"),
    [
        ({"url": "unix:///run/redis.sock"}, "redis+socket:///run/redis.sock"),
        (
            {
                "url": "redis://user:word@ignored:1/3",
                "mode": "sentinel",
                "sentinels": ("a:26379", "b:26379"),
            },
            "sentinel://user:word@a:26379/3;sentinel://user:word@b:26379/3",
        ),
    ],
)
def test_other_ways_to_a_redis(redis: dict[str, Any], url: str) -> None:
    assert made(redis)["CELERY_BROKER_URL"] == url


def test_sentinels_are_told_the_masters_name() -> None:
    found = made({"mode": "sentinel", "sentinels": ("a:1",), "sentinel_service": "main"})
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"]["master_name"] == "main"


def test_a_redis_behind_tls_is_checked() -> None:
    found = made({"url": "rediss://cache:6380/0", "tls_ca_file": "/etc/ca.pem"})
    assert found["CELERY_BROKER_USE_SSL"] == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_ca_certs": "/etc/ca.pem",
    }


def test_a_broker_of_its_own_comes_first() -> None:
    amqp = "amqp://user:word@rabbit:5672/vhost"
    found = made({"url": "redis://cache/0"}, broker_url=amqp)
    assert found["CELERY_BROKER_URL"] == amqp
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"] == {}
    assert found["CELERY_WORKER_POOL"] == "prefork"
    own = made({"url": "redis://cache/0"}, broker_url="redis://queue/0", pool="threads")
    assert own["CELERY_BROKER_TRANSPORT_OPTIONS"]["global_keyprefix"] == "chatvault:celery:"
    assert own["CELERY_WORKER_POOL"] == "threads"
