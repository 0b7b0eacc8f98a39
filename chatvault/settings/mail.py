from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section


class MailSettings(Section):
    """Where mail is handed over. Without it nothing is mailed, and the pages say so."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_MAIL_")

    url: SecretStr = SecretStr("")
    """`smtp://[user:password@]host[:port]` (STARTTLS when the port is 587) or `smtps://…`."""
    sender: str = "ChatVault <chatvault@localhost>"
    """The sender of mail."""
    timeout_s: float = 10.0
    """Longest time for handing over one mail."""

    @field_validator("url")
    @classmethod
    def _is_smtp(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text and (urlsplit(text).scheme not in ("smtp", "smtps") or not urlsplit(text).hostname):
            raise ValueError("it must be smtp://host:port or smtps://host:port")
        return value

    @property
    def is_used(self) -> bool:
        return bool(self.url.get_secret_value())

    def as_django(self) -> dict[str, Any]:
        """Django's settings of mail."""
        url = urlsplit(self.url.get_secret_value())
        is_tls = url.scheme == "smtps"
        port = url.port or (465 if is_tls else 25)
        return {
            "EMAIL_BACKEND": f"django.core.mail.backends.{'smtp' if self.is_used else 'dummy'}"
            ".EmailBackend",
            "EMAIL_HOST": url.hostname or "localhost",
            "EMAIL_PORT": port,
            "EMAIL_HOST_USER": unquote(url.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(url.password or ""),
            "EMAIL_USE_SSL": is_tls,
            "EMAIL_USE_TLS": port == 587 and not is_tls,
            "EMAIL_TIMEOUT": self.timeout_s,
            "DEFAULT_FROM_EMAIL": self.sender,
        }
