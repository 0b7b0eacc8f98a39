"""*Test connection*: what a provider answers, and what is wrong, in plain words."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from apps.accounts import signing
from apps.sign_in.errors import ProviderFailed
from apps.sign_in.models import IdentityProvider
from apps.sign_in.outside import secret
from apps.sign_in.outside.endpoints import ask, endpoints_of, get_json


class Finding(msgspec.Struct, frozen=True):
    is_ok: bool
    message: str


def examine(provider: IdentityProvider) -> list[Finding]:
    """In the order of a sign-in, up to the first thing that is wrong. Nothing secret is sent but
    to the token endpoint, as at a sign-in."""
    try:
        ends = endpoints_of(provider, fresh=True)
        found = [Finding(True, f"{ends.issuer} says where it is asked what.")]
        if ends.jwks:
            keys = signing.verifying_keys(get_json(ends.jwks))
            if not keys:
                return [*found, Finding(False, "None of its keys is of a kind that we can use.")]
            found.append(Finding(True, f"{len(keys)} of its keys can be used."))
        return [*found, _of_client(provider)]
    except ProviderFailed as failed:
        return [Finding(False, str(failed))]


def _of_client(provider: IdentityProvider) -> Finding:
    """A code that never was: who refuses the code knows us, who refuses us says so."""
    if not provider.secret:
        return Finding(True, "There is no client secret: that is right for a public client only.")
    from apps.sign_in.outside.flow import client_authentication

    ends = endpoints_of(provider)
    headers, form = client_authentication(provider, ends, secret.reveal(provider))
    form |= {
        "grant_type": "authorization_code",
        "code": "test-of-the-connection",
        "redirect_uri": "http://localhost/",
    }
    answer = ask(ends.token, method="POST", body=urlencode(form).encode(), headers=headers)
    text = answer.body[:2000].decode("utf-8", "replace")
    if "invalid_client" in text or "incorrect_client_credentials" in text or answer.status == 401:
        return Finding(False, "The server does not know this client ID with this secret.")
    return Finding(True, "It takes the client ID and the secret.")
