from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field, PositiveFloat, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section, named

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
    "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=134217728; PRAGMA cache_size=-16000"
)


class DatabaseSettings(Section):
    """Where rows are kept: SQLite in the state folder, or PostgreSQL."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_DATABASE_")

    url: SecretStr = named("DATABASE_URL", default=SecretStr(""))
    """`postgresql://user:password@host:port/name` or `sqlite:///path`; empty: SQLite."""
    pool_max_size: int = Field(8, ge=1)
    """PostgreSQL connections that one process may hold."""
    busy_timeout_s: PositiveFloat = 10.0
    """How long a writer waits for SQLite's lock."""

    @property
    def is_server(self) -> bool:
        """Whether it is a server of its own, not a file of this node."""
        return urlsplit(self.url.get_secret_value()).scheme in ("postgres", "postgresql")

    def as_django(self, home: Path) -> dict[str, Any]:
        """Django's DATABASES["default"]. Raises ValueError for a scheme that is not served."""
        url = urlsplit(self.url.get_secret_value())
        if url.scheme in ("postgres", "postgresql"):
            return self._postgresql(url.geturl())
        if url.scheme in ("", "sqlite"):
            path = Path(unquote(url.path[1:])) if url.scheme else home / "chatvault.sqlite3"
            return self._sqlite(path)
        raise ValueError("DATABASE_URL must begin with postgresql:// or sqlite:///.")

    def _postgresql(self, address: str) -> dict[str, Any]:
        url = urlsplit(address)
        options: dict[str, Any] = dict(parse_qsl(url.query))
        options["pool"] = {"min_size": 1, "max_size": self.pool_max_size, "timeout": 10}
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": unquote(url.path[1:]),
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": options.pop("host", None) or unquote(url.hostname or ""),
            "PORT": url.port or "",
            "OPTIONS": options,
        }

    def _sqlite(self, path: Path) -> dict[str, Any]:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": path,
            "OPTIONS": {
                "timeout": self.busy_timeout_s,
                "transaction_mode": "IMMEDIATE",
                "init_command": SQLITE_PRAGMAS,
            },
        }
