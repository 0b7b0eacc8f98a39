from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section


class TokenSettings(Section):
    """The JSON Web Tokens that ChatVault issues and accepts beside keys."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_TOKENS_")

    issuer: str = Field("chatvault", min_length=1, max_length=200)
    """The `iss` of tokens issued here. Change it when several installations share their clients."""
    audience: str = Field("chatvault", min_length=1, max_length=200)
    """The `aud` of tokens issued here; a token for anybody else is refused."""
    accepted_audiences: CommaList = ()
    """Further audiences that own tokens may carry, for a time after `audience` has changed."""
    access_lifetime_s: PositiveFloat = 900.0
    """How long an access token is valid."""
    refresh_lifetime_s: PositiveFloat = 14 * 86_400.0
    """How long a refresh token is valid; each use gives a new one."""
    session_lifetime_s: PositiveFloat = 90 * 86_400.0
    """Longest time between a sign-in and the last refresh that follows from it."""
    leeway_s: NonNegativeFloat = Field(10.0, le=120)
    """By how much other machines' clocks may differ."""
    algorithm: Literal["ES256", "ES384", "EdDSA", "RS256"] = "ES256"
    """What the next signing key is made for; existing keys keep theirs."""
    jwks_refresh_s: PositiveFloat = 3600.0
    """How often the keys of outside issuers are fetched."""
    jwks_cooldown_s: PositiveFloat = 30.0
    """Least time between two fetches of one issuer's keys because of an unknown key."""
    private_hosts: CommaList = ()
    """Hosts of outside issuers, `name` or `name:port`, that may have a private address."""
