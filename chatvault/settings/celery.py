from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section

if TYPE_CHECKING:
    from chatvault.settings.redis import RedisSettings

_AFTER_LIMIT_S: Final = 60
_CONNECT_TIMEOUT_S: Final = 5


class CelerySettings(Section):
    """The queue of background work."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_CELERY_")

    broker_url: SecretStr = SecretStr("")
    """Broker of its own for Celery, such as RabbitMQ's `amqp://user:password@host:5672/vhost`.
    Default: Redis when given, else files."""
    pool: Literal["auto", "threads", "prefork"] = "auto"
    """How a worker runs tasks side by side. Processes can be stopped at a limit of time or memory,
    threads need less memory. `auto`: threads with the queue in files, else processes."""
    concurrency: PositiveInt = 2
    """Tasks that the worker of this node runs at once."""
    time_limit_s: PositiveInt = 1200
    """How long a task may run. A job stops at its next step after that; a process is killed a
    minute later."""
    tasks_per_child: PositiveInt = 200
    """With processes: one is replaced after so many tasks."""
    memory_per_child_mib: PositiveInt = 400
    """With processes: one that has grown beyond this is replaced after its task."""
    grace_s: PositiveFloat = 15.0
    """At a stop running tasks may go on for so long; what is cut off then is done again."""
    keep_runs_days: PositiveInt = 30
    """How long the admin shows what jobs did."""

    def url(self, redis_url: str) -> str:
        """Where the queue is; empty: in files."""
        return self.broker_url.get_secret_value() or redis_url

    def as_django(self, home: Path, redis: RedisSettings) -> dict[str, Any]:
        """Celery's configuration, in the names that `namespace="CELERY"` reads."""
        return {**self._broker(home, redis), **self._limits(self._pool(redis))}

    def _pool(self, redis: RedisSettings) -> str:
        if self.pool != "auto":
            return self.pool
        return "prefork" if self.broker_url.get_secret_value() or redis.is_used else "threads"

    def _limits(self, pool: str) -> dict[str, Any]:
        limits = {"CELERY_WORKER_POOL": pool, "CELERY_WORKER_CONCURRENCY": self.concurrency}
        if pool == "prefork":
            limits |= {
                "CELERY_TASK_TIME_LIMIT": self.time_limit_s + _AFTER_LIMIT_S,
                "CELERY_WORKER_MAX_TASKS_PER_CHILD": self.tasks_per_child,
                "CELERY_WORKER_MAX_MEMORY_PER_CHILD": self.memory_per_child_mib * 1024,
            }
        return limits

    def _broker(self, home: Path, redis: RedisSettings) -> dict[str, Any]:
        if own := self.broker_url.get_secret_value():
            is_redis = urlsplit(own).scheme in ("redis", "rediss", "redis+socket")
            options = self._redis_options(redis) if is_redis else {}
            return {"CELERY_BROKER_URL": own, "CELERY_BROKER_TRANSPORT_OPTIONS": options}
        if redis.is_used:
            return self._redis(redis)
        folder = str(home / "broker")
        options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
        return {
            "CELERY_BROKER_URL": "filesystem://localhost",
            "CELERY_BROKER_TRANSPORT_OPTIONS": options,
        }

    def _redis(self, redis: RedisSettings) -> dict[str, Any]:
        url, options = redis.url.get_secret_value(), self._redis_options(redis)
        parts = urlsplit(url)
        found: dict[str, Any] = {"CELERY_BROKER_URL": url}
        if parts.scheme == "unix":
            found["CELERY_BROKER_URL"] = f"redis+socket://{parts.path}"
        if redis.mode == "sentinel" and redis.sentinels:
            secret = parts.netloc.rpartition("@")[0]
            login = f"{secret}@" if secret else ""
            nodes = ";".join(
                f"sentinel://{login}{node}{parts.path or '/0'}" for node in redis.sentinels
            )
            found["CELERY_BROKER_URL"] = nodes
            options["master_name"] = redis.sentinel_service
        if parts.scheme == "rediss":
            found["CELERY_BROKER_USE_SSL"] = {
                "ssl_cert_reqs": ssl.CERT_REQUIRED,
                **({"ssl_ca_certs": redis.tls_ca_file} if redis.tls_ca_file else {}),
            }
        return {**found, "CELERY_BROKER_TRANSPORT_OPTIONS": options}

    def _redis_options(self, redis: RedisSettings) -> dict[str, Any]:
        # a message is handed out again after this: later than any task may still run
        return {
            "visibility_timeout": self.time_limit_s + 5 * _AFTER_LIMIT_S,
            "global_keyprefix": f"{redis.prefix}:celery:",
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_keepalive": True,
            "health_check_interval": 10,
        }
