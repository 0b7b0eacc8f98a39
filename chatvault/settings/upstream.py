from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, model_validator
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
    max_connections_per_host: PositiveInt = 4096
    """Connections held open to one provider address."""
    keepalive_s: PositiveFloat = 30.0
    """How long an unused connection is kept."""
    private_hosts: CommaList = named("CHATVAULT_PRIVATE_HOSTS", default=())
    """`host` or `host:port` of providers that may have a private address, by commas."""
    ollama_host: str = named("OLLAMA_HOST", default="")
    """Ollama's own variable: its address may be private, and the first run asks it for models."""
    proxy: SecretStr = named("HTTPS_PROXY", "https_proxy", default=SecretStr(""))
    """Proxy for https providers, `http://[user:password@]host:port`."""
    no_proxy: CommaList = named("NO_PROXY", "no_proxy", default=())
    """Hosts that are reached without the proxy."""
    probe_calls: bool = False
    """Regular probes ask each model for a word, which costs a little, instead of asking its
    provider for the list of models, which is free."""

    @model_validator(mode="before")
    @classmethod
    def _trust_ollama(cls, values: dict[str, Any]) -> dict[str, Any]:
        # the operator names it in the environment, which is what CHATVAULT_PRIVATE_HOSTS asks for
        host = values.get("ollama_host")
        if not host:
            return values
        listed = values.get("private_hosts") or ()
        listed = listed if isinstance(listed, str) else ",".join(listed)
        address = urlsplit(ollama_base_url(host)).netloc
        return {**values, "private_hosts": f"{listed},{address}"}


def ollama_base_url(host: str) -> str:
    """Ollama's OpenAI-compatible address from OLLAMA_HOST in any of the shapes it allows."""
    url = urlsplit(host if "://" in host else f"http://{host}")
    name = url.hostname or "127.0.0.1"
    if name == "0.0.0.0":  # noqa: S104 - where Ollama listens, not where it is reached
        name = "127.0.0.1"
    name = f"[{name}]" if ":" in name else name
    return f"{url.scheme}://{name}:{url.port or 11434}/v1"
