"""Whether an id_token is right in every way (OpenID Connect Core 1.0 §3.1.3.7)."""

from __future__ import annotations

import hmac
from typing import Any, Final

from apps.accounts import signing
from apps.accounts.tokens import TokenIssuer, Verifier
from apps.sign_in.errors import ProviderFailed
from apps.sign_in.outside.endpoints import Endpoints, get_json
from chatvault.lib.errors import Unauthenticated

_MAX_KEYS: Final = 100


def verify(token: str, *, endpoints: Endpoints, client_id: str, nonce: str) -> dict[str, Any]:
    """Its claims. Signature by a key of the issuer's set, with the key's one algorithm; issuer
    and audience exact; not expired; for this very sign-in. Raises ProviderFailed, in the same
    words for whatever is wrong: details help only who forges."""
    jwks = get_json(endpoints.jwks)
    if not isinstance(jwks, dict) or len(jwks.get("keys") or ()) > _MAX_KEYS:
        raise ProviderFailed("The server's keys cannot be read.")
    issuer = TokenIssuer(
        0, endpoints.issuer, (client_id,), signing.verifying_keys(jwks), leeway_s=60.0
    )
    try:
        claims = Verifier([issuer]).verify(token)
    except Unauthenticated:
        raise _refused() from None
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise _refused()
    audiences = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if "azp" in claims and claims["azp"] != client_id:
        raise _refused()
    if len(audiences) > 1 and claims.get("azp") != client_id:
        raise _refused()
    return claims


def _refused() -> ProviderFailed:
    return ProviderFailed(
        "The provider's answer does not prove who you are. Try again from the beginning; if it "
        "stays so, tell an owner of this installation.",
        "id_token",
    )
