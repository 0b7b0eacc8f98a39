from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section, named


class UpstreamSettings(Section):
    """How the gateway talks to providers."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_UPSTREAM_")

    connect_timeout_s: PositiveFloat = 3.0
    """Time for name resolution, TCP and TLS."""
    first_byte_timeout_s: PositiveFloat = 60.0
    """Time from the sent request to the first byte of the answer."""
    idle_timeout_s: PositiveFloat = 60.0
    """Longest silence inside an answer."""
    total_timeout_s: PositiveFloat = 600.0
    """Longest life of one request, all attempts included."""
    max_body_mib: PositiveInt = 64
    """Largest answer that is read, after decompression."""
    max_attempts: int = Field(3, ge=1, le=10)
    """Attempts for one request, retries and fallbacks together."""
    max_connections_per_host: PositiveInt = 1024
    """Connections held open to one provider address."""
    keepalive_s: PositiveFloat = 30.0
    """How long an unused connection is kept."""
    private_hosts: CommaList = named("CHATVAULT_PRIVATE_HOSTS", default=())
    """`host` or `host:port` of providers that may have a private address, by commas."""
    proxy: SecretStr = named("HTTPS_PROXY", "https_proxy", default=SecretStr(""))
    """Proxy for https providers, `http://[user:password@]host:port`."""
    no_proxy: CommaList = named("NO_PROXY", "no_proxy", default=())
    """Hosts that are reached without the proxy."""
