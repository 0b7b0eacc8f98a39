"""The client secret of a provider: sealed, bound to where it is sent, never shown again."""

from __future__ import annotations

from apps.providers.errors import SecretUnavailable
from apps.providers.secrets import SecretContext, origin_of
from apps.providers.services import vault
from apps.sign_in.errors import ProviderFailed
from apps.sign_in.models import IdentityProvider
from apps.sign_in.outside.endpoints import issuer_of


def origin(provider: IdentityProvider) -> str:
    """Raises UpstreamForbidden for a server URL that is none."""
    return origin_of(issuer_of(provider), "", "")


def seal(provider: IdentityProvider, secret: str) -> None:
    """Onto the row, which must have been saved before; the caller saves it again."""
    provider.secret_origin = origin(provider)
    provider.secret = vault().seal(secret, _context(provider))


def wipe_if_moved(provider: IdentityProvider) -> bool:
    """Whether there was a secret, given for another address."""
    if not provider.secret or provider.secret_origin == origin(provider):
        return False
    provider.secret, provider.secret_origin = "", ""
    return True


def reveal(provider: IdentityProvider) -> str:
    """Empty for a public client. Raises ProviderFailed when it does not open."""
    if not provider.secret:
        return ""
    try:
        return vault().open(provider.secret, _context(provider)).reveal()
    except SecretUnavailable:
        raise ProviderFailed("The client secret cannot be opened: enter it again.") from None


def _context(provider: IdentityProvider) -> SecretContext:
    return SecretContext(
        "identity-provider",
        "sign_in.identityprovider",
        str(provider.pk),
        "secret",
        origin(provider),
    )
