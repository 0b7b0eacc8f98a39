import ipaddress
from typing import Any, Final

from pydantic import SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section

_COUNTED: Final = "django_prometheus.db.backends."


class MetricsSettings(Section):
    """Who may read `/metrics`, in Prometheus' format. Callers on this machine always may."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_METRICS_")

    networks: CommaList = ()
    """Other networks (`10.1.0.0/16,fd00::/8`) that may. What a proxy relays is never answered."""
    token: SecretStr = SecretStr("")
    """When set, callers must also send `Authorization: Bearer <token>`. At least 16 characters."""

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            ipaddress.ip_network(text)
        return value

    @field_validator("token")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < 16:
            raise ValueError("a token has at least 16 characters")
        return value


def counted(databases: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same databases through django-prometheus, which counts and times their statements."""
    return {
        alias: {
            **database,
            "ENGINE": database["ENGINE"].replace("django.db.backends.", _COUNTED, 1),
        }
        for alias, database in databases.items()
    }
