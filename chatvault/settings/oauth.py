"""ChatVault as an OAuth 2.1 authorization server (django-oauth-toolkit)."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from chatvault.settings.section import CommaList, Section

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _origin(value: str) -> str:
    if not value:
        return value
    parts = urlsplit(value)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not is_safe or not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("give the public address, such as https://gateway.example.com")
    if parts.path.strip("/"):
        raise ValueError("it is an origin: nothing may follow the host")
    return value.rstrip("/")


Origin = Annotated[str, AfterValidator(_origin)]
"""`https://host`, as people and programs reach it."""


class OAuthSettings(Section):
    """ChatVault as an OAuth 2.1 and OpenID Connect server for other applications."""

    model_config = SettingsConfigDict(env_prefix="CHATVAULT_OAUTH_")

    issuer: Origin = ""
    """Public address of this installation, `https://gateway.example.com`: the `iss` of what is
    issued. Empty: the address at which it was asked, one of CHATVAULT_ALLOWED_HOSTS."""
    code_lifetime_s: int = Field(60, ge=5, le=60)
    """How long an authorization code waits to be exchanged."""
    access_lifetime_s: int = Field(900, ge=30, le=900)
    """How long an access token is valid."""
    refresh_lifetime_s: int = Field(14 * 86_400, ge=60)
    """How long a refresh token lives unused after its access token has ended."""
    id_token_lifetime_s: int = Field(900, ge=30, le=3600)
    """How long an ID token is valid."""
    device_code_lifetime_s: int = Field(600, ge=60, le=1800)
    """How long somebody has to enter the code that a device shows."""
    device_interval_s: int = Field(5, ge=1, le=60)
    """How long a device waits between two questions whether it was allowed."""
    other_resources: CommaList = ()
    """Addresses of further services whose access tokens are issued here (RFC 8707). Such a token
    is introspected by its service and does not call ChatVault."""

    def as_django(self) -> dict[str, Any]:
        """OAUTH2_PROVIDER: every gate of RFC 9700 is closed."""
        gates = {f"COMPLIANT_BCP_RFC9700_{gate}": True for gate in _GATES}
        return gates | {
            "OIDC_ENABLED": True,
            "OIDC_ISS_ENDPOINT": self.issuer,
            "PKCE_REQUIRED": True,
            "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
            "ALLOWED_SCHEMES": ["https"],
            "ALLOW_URI_WILDCARDS": False,
            "ALLOW_LOCALHOST_LOOPBACK": False,
            "REFRESH_TOKEN_REUSE_PROTECTION": True,
            "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0,
            "ROTATE_REFRESH_TOKEN": True,
            "REQUEST_APPROVAL_PROMPT": "force",
            "AUTHORIZATION_CODE_EXPIRE_SECONDS": self.code_lifetime_s,
            "ACCESS_TOKEN_EXPIRE_SECONDS": self.access_lifetime_s,
            "ID_TOKEN_EXPIRE_SECONDS": self.id_token_lifetime_s,
            "REFRESH_TOKEN_EXPIRE_SECONDS": self.refresh_lifetime_s,
            "DEVICE_FLOW_INTERVAL": self.device_interval_s,
            "OAUTH_DEVICE_USER_CODE_GENERATOR": None,
            "OAUTH_PRE_TOKEN_VALIDATION": [],
            "ACCESS_TOKEN_GENERATOR": "apps.oauth.generators.access_token",
            "REFRESH_TOKEN_GENERATOR": "apps.oauth.generators.refresh_token",
            "CLIENT_SECRET_HASHER": "pbkdf2_sha256_once",
            "OAUTH2_SERVER_CLASS": "apps.oauth.server.Server",
            "OAUTH2_VALIDATOR_CLASS": "apps.oauth.validator.Validator",
            "OAUTH2_BACKEND_CLASS": "apps.oauth.core.Core",
            "SCOPES_BACKEND_CLASS": "apps.oauth.scopes.OfferedScopes",
            "OIDC_RESPONSE_TYPES_SUPPORTED": ["code"],
            "OAUTH2_RESPONSE_TYPES_SUPPORTED": ["code"],
        }


_GATES = (
    "IMPLICIT_GRANT",
    "PASSWORD_GRANT",
    "PKCE_METHOD",
    "ACCESS_TOKEN_TRANSPORT",
    "AUTHZ_RESPONSE_ISS",
    "TOKEN_STORAGE",
    "REFRESH_TOKEN",
    "REDIRECT_URI_SCHEME",
    "REDIRECT_URI_MATCHING",
    "PKCE_REQUIRED",
)

MODELS = {
    "APPLICATION": "oauth.Application",
    "ACCESS_TOKEN": "oauth.AccessToken",
    "REFRESH_TOKEN": "oauth.RefreshToken",
    "ID_TOKEN": "oauth.IDToken",
    "GRANT": "oauth.Grant",
    "DEVICE_GRANT": "oauth.DeviceGrant",
}
"""The toolkit's models are all ours; its own migrations have nothing to do."""
