from typing import Any, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section, named


class RedisSettings(Section):
    """What many gateway processes share: limits, announcements, the queue. Redis or Valkey."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_REDIS_")

    url: SecretStr = named("REDIS_URL", default=SecretStr(""))
    """`redis://` or `rediss://user:password@host:port/number`, or `unix:///path`. Empty: none."""
    mode: Literal["single", "sentinel", "cluster"] = "single"
    """How the server of the URL is run. A cluster keeps all limits in one hash slot."""
    sentinels: CommaList = ()
    """With `sentinel`: `host:port` of each; user, password and number come from the URL."""
    sentinel_service: str = "mymaster"
    """With `sentinel`: the name under which the master is watched."""
    prefix: str = "chatvault"
    """Begins every key; another one for each installation that shares a server."""
    tls_ca_file: str = ""
    """Certificates that a `rediss://` server is checked against. Empty: the system's."""
    timeout_ms: PositiveInt = 25
    """How long a request waits for an answer; then it is served without Redis, as far as it may."""
    standby_s: NonNegativeFloat = 5.0
    """Seconds of traffic for which each gateway process holds money of a budget in advance, so
    that it can go on while Redis is away. 0: requests with a budget wait for it."""
    retry_s: PositiveFloat = 0.5
    """How often a server that does not answer is tried again."""

    @property
    def is_used(self) -> bool:
        return bool(self.url.get_secret_value()) or bool(self.sentinels)

    def as_django_cache(self) -> dict[str, dict[str, Any]]:
        """Django's cache: shared through Redis, or of one process."""
        if self.is_used:
            return {
                "default": {
                    "BACKEND": "apps.billing.shared_cache.SharedCache",
                    "KEY_PREFIX": f"{self.prefix}:web",
                }
            }
        return {
            "default": {
                "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
                "LOCATION": "chatvault",
                "OPTIONS": {"MAX_ENTRIES": 100_000},
            }
        }
