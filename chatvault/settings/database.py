from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import Field, NonNegativeFloat, PositiveFloat, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import Section, named

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; "
    "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=134217728; PRAGMA cache_size=-16000"
)
REPLICA: Final = "replica"
OWNER: Final = "owner"
_RECONNECT_S: Final = 2.0  # then a pool gives up, and the next request tries anew at once


class _Manners(NamedTuple):
    """How the sessions of one kind of process behave; 0 s: no limit."""

    statement_s: float
    lock_s: float
    pool_size: int  # 0: no pool
    pool_wait_s: float = 5.0


class DatabaseSettings(Section):
    """Where rows are kept: SQLite in the state folder, or PostgreSQL."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_DATABASE_")

    url: SecretStr = named("DATABASE_URL", default=SecretStr(""))
    """`postgresql://user:password@host:port/name` or `sqlite:///path`; empty: SQLite. What stands
    behind `?`, such as `sslmode=verify-full`, is passed on to libpq."""
    replica_url: SecretStr = SecretStr("")
    """A read replica of the same PostgreSQL, for reports, the overview and the request log."""
    replica_max_lag_s: PositiveFloat = 10.0
    """A replica that is further behind is not asked; the primary is."""
    owner_url: SecretStr = SecretStr("")
    """The role that owns the tables: it migrates and makes partitions. Empty: DATABASE_URL."""
    row_security: bool = False
    """Sessions name the teams whose rows they may see. Set it everywhere, then run `manage.py
    row_security on`."""
    pool_max_size: int = Field(8, ge=1)
    """PostgreSQL connections that one process may hold. Gateways hold at most 4, ingest 2."""
    connect_timeout_s: int = Field(3, ge=2)
    """How long PostgreSQL may take to accept a connection."""
    web_statement_timeout_s: NonNegativeFloat = 30.0
    """Longest statement of the admin and the API; 0: no limit."""
    gateway_statement_timeout_s: NonNegativeFloat = 2.0
    """Longest statement of a gateway process that does not serve the admin, too."""
    worker_statement_timeout_s: NonNegativeFloat = 600.0
    """Longest statement of background jobs."""
    ingest_statement_timeout_s: NonNegativeFloat = 0.0
    """Longest statement of ingest. A batch that is cut off is only tried again."""
    lock_timeout_s: NonNegativeFloat = 5.0
    """How long the admin, the API and jobs wait for a lock; gateways wait 1 s, ingest as long as
    it takes."""
    migrate_lock_timeout_s: PositiveFloat = 1.0
    """How long a migration waits for a lock before it lets others pass and tries again."""
    idle_in_transaction_timeout_s: NonNegativeFloat = 60.0
    """A session that leaves a transaction open for so long is ended; 0: never."""
    busy_timeout_s: PositiveFloat = 10.0
    """How long a writer waits for SQLite's lock."""

    @property
    def is_server(self) -> bool:
        """Whether it is a server of its own, not a file of this node."""
        return _is_postgresql(self.url)

    def as_django(self, home: Path, role: str = "manage") -> dict[str, dict[str, Any]]:
        """Django's DATABASES. Raises ValueError for a scheme that is not served."""
        url = urlsplit(self.url.get_secret_value())
        if not self.is_server:
            if url.scheme not in ("", "sqlite"):
                raise ValueError("DATABASE_URL must begin with postgresql:// or sqlite:///.")
            path = Path(unquote(url.path[1:])) if url.scheme else home / "chatvault.sqlite3"
            return {"default": self._sqlite(path)}
        found = {"default": self._postgresql(self.url, role)}
        if self.replica_url.get_secret_value():
            found[REPLICA] = self._postgresql(self.replica_url, role, is_replica=True)
        if self.owner_url.get_secret_value():
            found[OWNER] = self._postgresql(self.owner_url, "migrate")
        return found

    def manners(self, role: str) -> _Manners:
        """Of the processes of a role; `pages` is a gateway that serves the admin, too."""
        web_s, lock_s = self.web_statement_timeout_s, self.lock_timeout_s
        known = {
            "web": _Manners(web_s, lock_s, self.pool_max_size),
            "pages": _Manners(web_s, lock_s, self.pool_max_size),
            "gateway": _Manners(
                self.gateway_statement_timeout_s, 1.0, min(4, self.pool_max_size), 2.0
            ),
            "ingest": _Manners(
                self.ingest_statement_timeout_s, 0.0, min(2, self.pool_max_size), 10.0
            ),
            "worker": _Manners(self.worker_statement_timeout_s, lock_s, self.pool_max_size, 10.0),
            "beat": _Manners(self.worker_statement_timeout_s, lock_s, 1, 10.0),
            "migrate": _Manners(0.0, self.migrate_lock_timeout_s, 0),
        }
        return known.get(role, _Manners(0.0, 0.0, 0))

    def options(
        self, role: str, *, given: str = "", name: str = "", is_replica: bool = False
    ) -> dict[str, Any]:
        """What a role adds to the options of its connections; `given` and `name` are the URL's
        own `options` and `application_name`, which have the last word."""
        manners = self.manners(role)
        limits = {
            "statement_timeout": manners.statement_s,
            "lock_timeout": manners.lock_s,
            "idle_in_transaction_session_timeout": self.idle_in_transaction_timeout_s,
        }
        words = [f"-c {limit}={round(seconds * 1000)}" for limit, seconds in limits.items()]
        if is_replica:
            words.append("-c default_transaction_read_only=on")
        if self.row_security:
            words.append("-c chatvault.team_ids=*")
        shown = "gateway" if role == "pages" else role
        options: dict[str, Any] = {
            "options": " ".join([*words, given]).strip(),
            "application_name": name or f"chatvault-{shown}",
        }
        if manners.pool_size and not is_replica:  # which may be away: a pool would wait for it
            options["pool"] = {
                "min_size": 1,
                "max_size": manners.pool_size,
                "timeout": manners.pool_wait_s,
                "reconnect_timeout": _RECONNECT_S,
                "max_lifetime": 1800.0,
            }
        return options

    def _postgresql(
        self, secret: SecretStr, role: str, *, is_replica: bool = False
    ) -> dict[str, Any]:
        from psycopg import Error
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = dict(conninfo_to_dict(secret.get_secret_value()))
        except Error:
            raise ValueError("A URL of PostgreSQL is malformed.") from None
        places = {
            name: str(given.pop(key, "") or "")
            for name, key in (
                ("NAME", "dbname"),
                ("USER", "user"),
                ("PASSWORD", "password"),
                ("HOST", "host"),
                ("PORT", "port"),
            )
        }
        own = {"options": given.pop("options", None), "name": given.pop("application_name", None)}
        given.setdefault("connect_timeout", self.connect_timeout_s)
        added = self.options(
            role,
            given=str(own["options"] or ""),
            name=str(own["name"] or ""),
            is_replica=is_replica,
        )
        return {
            "ENGINE": "django.db.backends.postgresql",
            **places,
            "CONN_HEALTH_CHECKS": True,
            "CONN_MAX_AGE": 60 if is_replica else 0,
            "OPTIONS": given | added,
            "URL_OPTIONS": own,
            "TEST": {"MIRROR": "default"} if is_replica else {},
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


def _is_postgresql(url: SecretStr) -> bool:
    return urlsplit(url.get_secret_value()).scheme in ("postgres", "postgresql")
