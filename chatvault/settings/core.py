from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section, named


class CoreSettings(Section):
    """Where ChatVault lives and how it is reached."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_")

    home: Path = Path("var")
    """The state folder: database, journal, secrets, broker. Relative to the working folder."""
    host: str = named("HOST", default="127.0.0.1")
    """Address to listen on. Any other than loopback needs strong secrets."""
    port: int = Field(8000, ge=0, le=65535, json_schema_extra={"env": ["PORT"]})
    """TCP port to listen on; 0 takes a free one."""
    secret_key: SecretStr = named(
        "CHATVAULT_SECRET_KEY", "SECRET_KEY", default=SecretStr(""), kept="secret_key"
    )
    """Signs sessions and tokens of the admin. Made at the first run when not given."""
    allowed_hosts: CommaList = ("localhost", "127.0.0.1", "[::1]")
    """Host names that the admin and the API answer to, separated by commas."""
    csrf_trusted_origins: CommaList = ()
    """Origins (`https://host`) that may post forms although a proxy changes the host."""
    trusted_proxies: CommaList = ()
    """Addresses of reverse proxies whose `X-Forwarded-For` and `-Proto` are believed."""
    debug: bool = False
    """Django's debug pages. Never on a machine that others can reach."""
    static_root: Path | None = None
    """Where `collectstatic` puts the files of the admin. Empty: they are served from the apps."""
    time_zone: str = "UTC"
    """The zone in which the admin shows times; stored times are UTC."""
    log_level: str = "INFO"
    """Least severity that is written to standard error. DEBUG is for ChatVault's own packages."""
