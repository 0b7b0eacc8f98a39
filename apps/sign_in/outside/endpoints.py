"""Where a provider is asked what: by discovery (OpenID Connect Discovery 1.0), or known."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from django.conf import settings

from apps.sign_in.errors import ProviderFailed
from apps.sign_in.models import IdentityProvider
from chatvault.lib import clock
from chatvault.lib.errors import UpstreamForbidden
from chatvault.lib.guarded_fetch import Fetched, FetchFailed, fetch
from chatvault.lib.http_guard import parse_target

GOOGLE: Final = "https://accounts.google.com"
GITHUB: Final = "https://github.com"
KEEP: Final = timedelta(hours=1)
SCOPES: Final = {"github": "read:user user:email read:org"}
_NEEDED: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Endpoints(msgspec.Struct, frozen=True):
    """`jwks` is "" where there are no id_tokens."""

    issuer: str
    authorize: str
    token: str
    jwks: str = ""
    userinfo: str = ""
    basic_auth: bool = True


def issuer_of(provider: IdentityProvider) -> str:
    if provider.kind == IdentityProvider.Kind.GOOGLE:
        return GOOGLE
    if provider.kind == IdentityProvider.Kind.GITHUB:
        return (provider.server_url or GITHUB).rstrip("/")
    return provider.server_url


def scopes_of(provider: IdentityProvider) -> str:
    return provider.scopes or SCOPES.get(provider.kind, "openid email profile")


def endpoints_of(provider: IdentityProvider, *, fresh: bool = False) -> Endpoints:
    """Asked at most once an hour. Raises ProviderFailed."""
    if provider.kind == IdentityProvider.Kind.GITHUB:
        return _github(issuer_of(provider))
    now = clock.now()
    kept = provider.discovered
    is_recent = provider.discovered_at is not None and now - provider.discovered_at < KEEP
    if fresh or not is_recent or kept.get("issuer") != issuer_of(provider):
        kept = _discover(issuer_of(provider))
        IdentityProvider.objects.filter(pk=provider.pk).update(discovered=kept, discovered_at=now)
        provider.discovered, provider.discovered_at = kept, now
    methods = kept.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return Endpoints(
        kept["issuer"],
        kept["authorization_endpoint"],
        kept["token_endpoint"],
        kept["jwks_uri"],
        kept.get("userinfo_endpoint") or "",
        "client_secret_basic" in methods,
    )


def _discover(issuer: str) -> dict[str, Any]:
    """§4.3: the document must name the issuer that was asked."""
    found = get_json(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if found.get("issuer") != issuer:
        raise ProviderFailed(
            f"The server calls itself {str(found.get('issuer'))[:200]!r}, not {issuer!r}: enter "
            "the server URL exactly as it calls itself."
        )
    for name in _NEEDED:
        check_url(str(found.get(name) or ""), name)
    keep = (*_NEEDED, "issuer", "userinfo_endpoint", "token_endpoint_auth_methods_supported")
    return {name: found[name] for name in keep if name in found}


def check_url(url: str, name: str) -> None:
    """https, or plain http to a host that the operator listed; browsers go there too."""
    try:
        target = parse_target(url)
    except UpstreamForbidden:
        raise ProviderFailed(f"The server's {name} is not a URL.") from None
    if target.scheme != "https" and not _is_listed(target.host, target.port):
        raise ProviderFailed(f"The server's {name} is not https.")


def get_json(url: str, headers: dict[str, str] | None = None) -> Any:
    """An object, or a list where GitHub gives one. Raises ProviderFailed."""
    return as_json(ask(url, headers=headers))


def ask(url: str, **how: Any) -> Fetched:
    limits = settings.CHATVAULT.sign_in
    try:
        return fetch(
            url, private_hosts=limits.private_hosts, timeout_s=limits.request_timeout_s, **how
        )
    except FetchFailed as failed:
        text = str(failed).replace("CHATVAULT_PRIVATE_HOSTS", "CHATVAULT_SIGN_IN_PRIVATE_HOSTS")
        text = text.replace("The provider", "The server").replace("Providers", "Servers")
        raise ProviderFailed(f"{urlsplit(url).hostname}: {text}") from None


def as_json(answer: Fetched) -> Any:
    if answer.status != 200:
        raise ProviderFailed(f"The server answered with status {answer.status}.")
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ProviderFailed("The server's answer is not JSON.") from None
    if not isinstance(found, dict | list):
        raise ProviderFailed("The server's answer is not a JSON object.")
    return found


def _is_listed(host: str, port: int) -> bool:
    from chatvault.lib.http_guard import AddressGuard

    return AddressGuard(settings.CHATVAULT.sign_in.private_hosts).is_listed(host, port)


def _github(base: str) -> Endpoints:
    api = "https://api.github.com" if base == GITHUB else f"{base}/api/v3"
    return Endpoints(
        base,
        f"{base}/login/oauth/authorize",
        f"{base}/login/oauth/access_token",
        userinfo=f"{api}/user",
        basic_auth=False,
    )
