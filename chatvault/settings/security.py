from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        scheme, mark, host = value.partition("://")
        if scheme not in ("http", "https") or not mark or not host or set(host) & set("/*@ ?#"):
            raise ValueError(f"'{value}' is no origin: write https://host, without a path")
    return values


class SecuritySettings(Section):
    """How the pages and the API defend themselves; see `docs/web-defences.md`."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_")

    https: bool = False
    """Browsers come by HTTPS, through a proxy that is in CHATVAULT_TRUSTED_PROXIES. Cookies go by
    HTTPS alone and are bound to this host, plain requests are redirected, and HSTS is sent."""
    hsts_s: int = Field(31_536_000, ge=0)
    """Seconds for which browsers come by HTTPS only, once they did. 0: not sent."""
    hsts_subdomains: bool = False
    """HSTS for every host below this one too: a decision about the whole domain."""
    hsts_preload: bool = False
    """Asks browser makers to list the domain; hard to take back."""
    max_form_mib: PositiveInt = 8
    """MiB that a request to the admin or its API may carry; the inference API has its own."""
    cors_origins: Annotated[CommaList, AfterValidator(_origins)] = ()
    """Origins (`https://app.example`) whose pages may call `/v1` and `/api/` from a browser, with a
    key or token; never with the admin's cookies. Empty: none."""
