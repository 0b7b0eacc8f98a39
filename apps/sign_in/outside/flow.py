"""There and back: authorization code with PKCE (RFC 7636), state and nonce (RFC 9700 §2.1)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from django.http import HttpRequest
from django.urls import reverse

from apps.sign_in.errors import ProviderFailed, SignInRefused
from apps.sign_in.models import IdentityProvider
from apps.sign_in.outside import id_token, secret
from apps.sign_in.outside.endpoints import (
    Endpoints,
    as_json,
    ask,
    endpoints_of,
    get_json,
    scopes_of,
)
from chatvault.lib import clock

_KEPT: Final = "outside_sign_ins"
_MOST: Final = 8
_LIFE_S: Final = 600.0
_MAX_TEXT: Final = 4096


@dataclass(frozen=True)
class Claimed:
    """Whom the provider says it is."""

    subject: str
    email: str = ""
    is_verified: bool = False
    name: str = ""
    username: str = ""
    claims: dict[str, Any] = field(default_factory=dict)


def begin(request: HttpRequest, provider: IdentityProvider, **kept: Any) -> str:
    """The URL at the provider; `kept` comes back with `finish`. Raises ProviderFailed."""
    ends = endpoints_of(provider)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    begun = {
        **kept, "provider": provider.pk, "nonce": nonce, "verifier": verifier,
        "at": clock.wall_s(),
    }  # fmt: skip
    running: dict[str, Any] = request.session.get(_KEPT) or {}
    recent = {key: one for key, one in running.items() if clock.wall_s() - one["at"] < _LIFE_S}
    request.session[_KEPT] = {**dict(list(recent.items())[-(_MOST - 1) :]), state: begun}
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": callback_url(request, provider),
        "scope": scopes_of(provider),
        "state": state,
        "code_challenge": challenge.rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        **({"nonce": nonce} if ends.jwks else {}),
        **({"max_age": "0", "prompt": "login"} if kept.get("again") and ends.jwks else {}),
    }
    joint = "&" if "?" in ends.authorize else "?"
    return f"{ends.authorize}{joint}{urlencode(asked, quote_via=quote)}"


def finish(request: HttpRequest, provider: IdentityProvider) -> tuple[Claimed, dict[str, Any]]:
    """Who it is, and what was kept. A state works once. Raises SignInRefused."""
    begun = _taken(request, provider)
    if request.GET.get("error"):
        raise SignInRefused("cancelled", "You were not signed in: the provider said no.")
    ends = endpoints_of(provider)
    named = request.GET.get("iss")  # RFC 9207: another provider's answer is not for this one
    code = request.GET.get("code", "")
    if (named is not None and named != ends.issuer) or not 0 < len(code) <= _MAX_TEXT:
        raise _began_elsewhere()
    tokens = _exchange(request, provider, ends, code, begun["verifier"])
    if not ends.jwks:
        return _of_github(ends, _text(tokens, "access_token")), begun
    claims = id_token.verify(
        _text(tokens, "id_token"),
        endpoints=ends,
        client_id=provider.client_id,
        nonce=begun["nonce"],
    )
    _check_age(claims, begun)
    return _claimed(provider, _with_userinfo(provider, ends, tokens, claims)), begun


def callback_url(request: HttpRequest, provider: IdentityProvider) -> str:
    return request.build_absolute_uri(reverse("sign_in_callback", args=[provider.slug]))


def _check_age(claims: dict[str, Any], begun: dict[str, Any]) -> None:
    """Who had to prove it again did so now (§3.1.2.1 `max_age`); some providers do not say when."""
    at = claims.get("auth_time")
    if begun.get("again") and isinstance(at, int) and clock.wall_s() - at > _LIFE_S:
        raise SignInRefused("stale", "The provider did not ask you again who you are.")


def _taken(request: HttpRequest, provider: IdentityProvider) -> dict[str, Any]:
    running: dict[str, Any] = request.session.get(_KEPT) or {}
    begun: dict[str, Any] | None = running.pop(request.GET.get("state", ""), None)
    request.session[_KEPT] = running
    request.session.save()  # used up, whatever comes of it
    if begun is None or begun["provider"] != provider.pk:
        raise _began_elsewhere()
    if clock.wall_s() - begun["at"] > _LIFE_S:
        raise SignInRefused("late", "That took too long. Please begin anew.")
    return begun


def _began_elsewhere() -> SignInRefused:
    return SignInRefused(
        "state", "This sign-in did not begin in this browser, or is over. Please begin anew."
    )


def _exchange(
    request: HttpRequest, provider: IdentityProvider, ends: Endpoints, code: str, verifier: str
) -> dict[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback_url(request, provider),
        "code_verifier": verifier,
    }
    headers, own = client_authentication(provider, ends, secret.reveal(provider))
    form |= own
    answer = ask(ends.token, method="POST", body=urlencode(form).encode(), headers=headers)
    if answer.status in (400, 401, 403):
        raise ProviderFailed("The provider did not take our code or our client secret.", "code")
    found = as_json(answer)
    if not isinstance(found, dict):
        raise ProviderFailed("The server's answer is not a JSON object.")
    return found


def client_authentication(
    provider: IdentityProvider, ends: Endpoints, hidden: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Headers and fields that say who we are (RFC 6749 §2.3.1: both parts are form-encoded)."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    if not hidden:
        return headers, {"client_id": provider.client_id}
    if not ends.basic_auth:
        return headers, {"client_id": provider.client_id, "client_secret": hidden}
    pair = f"{quote(provider.client_id, safe='')}:{quote(hidden, safe='')}"
    encoded = base64.b64encode(pair.encode()).decode()
    return {**headers, "authorization": f"Basic {encoded}"}, {}


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise ProviderFailed(f"The provider's answer has no {name}.", "code")
    return value


def _with_userinfo(
    provider: IdentityProvider, ends: Endpoints, tokens: dict[str, Any], claims: dict[str, Any]
) -> dict[str, Any]:
    """§5.3.2: asked when something is missing, and only believed about the same subject."""
    wanted = {"email", *(rule.claim.split(".")[0] for rule in provider.rules.all())}
    if not ends.userinfo or wanted <= claims.keys():
        return claims
    headers = {"authorization": f"Bearer {_text(tokens, 'access_token')}"}
    more = get_json(ends.userinfo, headers)
    if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
        raise ProviderFailed("The provider says two different things about who you are.")
    return {**more, **claims}


def _claimed(provider: IdentityProvider, claims: dict[str, Any]) -> Claimed:
    email = claims.get("email")
    email = email if isinstance(email, str) and len(email) <= 254 and "@" in email else ""
    is_verified = claims.get("email_verified") is True or claims.get("xms_edov") is True
    return Claimed(
        subject=str(claims["sub"]),
        email=email,
        is_verified=bool(email) and (is_verified or provider.vouches_for_addresses),
        name=str(claims.get("name") or "")[:150],
        username=str(claims.get("preferred_username") or "")[:150],
        claims=claims,
    )


def _of_github(ends: Endpoints, token: str) -> Claimed:
    headers = {"authorization": f"Bearer {token}", "user-agent": "ChatVault"}
    who = get_json(ends.userinfo, headers)
    if not isinstance(who, dict) or not isinstance(who.get("id"), int):
        raise ProviderFailed("GitHub does not say who you are.")
    addresses = get_json(f"{ends.userinfo}/emails", headers)
    primary = next(
        (
            one for one in addresses
            if isinstance(one, dict) and one.get("primary") and isinstance(one.get("email"), str)
        ),
        {},
    )  # fmt: skip
    organizations = get_json(f"{ends.userinfo}/orgs", headers)
    names = [str(one.get("login")) for one in organizations if isinstance(one, dict)]
    return Claimed(
        subject=str(who["id"]),
        email=primary.get("email", ""),
        is_verified=primary.get("verified") is True,
        name=str(who.get("name") or "")[:150],
        username=str(who.get("login") or "")[:150],
        claims={**who, "organizations": names},
    )
