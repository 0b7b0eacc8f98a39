from pathlib import Path
from typing import Any

from pydantic import PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class CelerySettings(Section):
    """The queue of background work."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_CELERY_")

    broker_url: SecretStr = SecretStr("")
    """Broker of its own for Celery. Default: Redis when given, else files."""
    threads: PositiveInt = 2
    """Tasks that the worker of this node runs at once."""

    def as_django(self, home: Path, redis_url: str) -> dict[str, Any]:
        """Celery's configuration, in the names that `namespace="CELERY"` reads."""
        url = self.broker_url.get_secret_value() or redis_url
        if url:
            return {"CELERY_BROKER_URL": url}
        folder = str(home / "broker")
        options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": folder}
        return {
            "CELERY_BROKER_URL": "filesystem://localhost",
            "CELERY_BROKER_TRANSPORT_OPTIONS": options,
        }
