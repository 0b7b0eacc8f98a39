from pathlib import Path
from typing import Any

from pydantic import PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section, named


class CelerySettings(Section):
    """The queue of background work."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_CELERY_")

    broker_url: SecretStr = SecretStr("")
    """Broker of its own for Celery. Default: Redis when given, else files."""
    redis_url: SecretStr = named("REDIS_URL", default=SecretStr(""))
    """`redis://…`: limits, announcements and the queue are shared by many processes."""
    threads: PositiveInt = 2
    """Tasks that the worker of this node runs at once."""

    @property
    def has_redis(self) -> bool:
        return bool(self.redis_url.get_secret_value())

    def as_django(self, home: Path) -> dict[str, Any]:
        """Celery's configuration, in the names that `namespace="CELERY"` reads."""
        url = self.broker_url.get_secret_value() or self.redis_url.get_secret_value()
        if url:
            return {"CELERY_BROKER_URL": url}
        folder = str(home / "broker")
        options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
        return {
            "CELERY_BROKER_URL": "filesystem://localhost",
            "CELERY_BROKER_TRANSPORT_OPTIONS": options,
        }
