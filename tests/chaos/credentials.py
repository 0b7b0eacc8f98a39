"""Credentials of every kind, given and ended through the services that the admin and API call."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

HELD = "held"
"""The client that pays for all of them."""

LIFE_S = 4.0
LEEWAY_S = 10.0  # CHATVAULT_TOKENS_LEEWAY_S as it is when nobody sets it
_KEPT: dict[str, Any] = {}


def grant(kind: str) -> dict[str, Any]:
    """A fresh credential of the kind; how it ends is known under the same name."""
    make, _ = KINDS[kind]
    token = make(kind)
    return {"token": token}


def end(kind: str) -> dict[str, Any]:
    _, finish = KINDS[kind]
    finish(_KEPT[kind])
    return {}


def mend(kind: str) -> dict[str, Any]:
    """What was switched off for all, such as the client, is on again."""
    from apps.accounts import services
    from apps.accounts.models import Client, Team

    services.resume_clients(clients=Client.objects.filter(name=HELD), actor=None)
    services.switch_teams(teams=Team.objects.filter(clients__name=HELD), is_active=True)
    return {}


def _client() -> Any:
    from apps.accounts.models import Client

    return Client.objects.get(name=HELD)


def _key(kind: str, **more: Any) -> str:
    from apps.accounts import services

    issued = services.issue_key(
        client=_client(), name=f"{kind}-{time.time_ns()}", actor=None, **more
    )
    _KEPT[kind] = issued.key
    return issued.secret.reveal()


def _expiring_key(kind: str) -> str:
    from chatvault.lib import clock

    return _key(kind, expires_at=clock.now() + timedelta(seconds=LIFE_S))


def _pair(kind: str) -> str:
    from apps.accounts import jwt_sessions
    from apps.accounts.models import Membership, User

    user = User.objects.create(username=f"{kind}-{time.time_ns()}")
    Membership.objects.create(user=user, team=_client().team, role="member")
    pair = jwt_sessions.begin(user=user, client=_client(), scopes=["inference"])
    _KEPT[kind] = pair
    return pair.access.reveal()


def _expiring_pair(kind: str) -> str:
    from apps.accounts.jwt_tokens import AccessToken

    _pair(kind)
    session = _KEPT[kind].session
    token = AccessToken()
    token["sub"], token["sid"] = f"user:{session.user_id}", session.sid
    token.set_exp(lifetime=timedelta(seconds=LIFE_S))
    return str(token)


def _outside(kind: str) -> str:
    """A token of an issuer whose keys the control plane has."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec
    from jwt.algorithms import get_default_algorithms

    from apps.accounts import outside_issuers
    from apps.accounts.models import IssuerRule, TrustedIssuer

    private = ec.generate_private_key(ec.SECP256R1())
    public = json.loads(get_default_algorithms()["ES256"].to_jwk(private.public_key()))
    name = f"{kind}-{time.time_ns()}"
    issuer = TrustedIssuer.objects.create(
        name=name,
        issuer=f"https://{name}.example",
        audiences=["chatvault"],
        jwks={"keys": [{**public, "kid": "k1", "alg": "ES256"}]},
    )
    IssuerRule.objects.create(
        issuer=issuer, claim="sub", value="*", client=_client(), scopes=["inference"]
    )
    outside_issuers.changed(issuer)
    _KEPT[kind] = issuer
    now = int(time.time())
    claims = {"iss": issuer.issuer, "aud": "chatvault", "sub": "s", "iat": now, "exp": now + 600}
    return jwt.encode(claims, private, "ES256", headers={"kid": "k1"})


def _keys(key: Any) -> Any:
    from apps.accounts.models import ApiKey

    return ApiKey.objects.filter(pk=key.pk)


def _revoke(key: Any) -> None:
    from apps.accounts import services

    services.revoke_keys(keys=_keys(key), actor=None)


def _disable(key: Any) -> None:
    from apps.accounts import services

    services.disable_keys(keys=_keys(key), actor=None)


def _suspend(_: Any) -> None:
    from apps.accounts import services
    from apps.accounts.models import Client

    services.suspend_clients(clients=Client.objects.filter(name=HELD), actor=None)


def _close_team(_: Any) -> None:
    from apps.accounts import services
    from apps.accounts.models import Team

    services.switch_teams(teams=Team.objects.filter(clients__name=HELD), is_active=False)


def _end_session(pair: Any) -> None:
    from apps.accounts import jwt_sessions
    from apps.accounts.models import TokenSession

    jwt_sessions.end_sessions(
        sessions=TokenSession.objects.filter(pk=pair.session.pk), why="by the test"
    )


def _reuse_refresh(pair: Any) -> None:
    from apps.accounts import jwt_sessions
    from chatvault.lib.errors import Unauthenticated

    jwt_sessions.refresh(token=pair.refresh.reveal())
    try:
        jwt_sessions.refresh(token=pair.refresh.reveal())
    except Unauthenticated:
        return
    raise AssertionError("a refresh token worked twice")


def _end_signing_key(pair: Any) -> None:
    import jwt

    from apps.accounts import signing
    from apps.accounts.models import SigningKey

    kid = jwt.get_unverified_header(pair.access.reveal())["kid"]
    signing.end_signing_key(key=SigningKey.objects.get(kid=kid))


def _disable_issuer(issuer: Any) -> None:
    from apps.accounts import outside_issuers

    issuer.is_active = False
    issuer.save(update_fields=["is_active"])
    outside_issuers.changed(issuer)


def _rotate(key: Any) -> None:
    from apps.accounts import rotation

    rotation.rotate_key(key=key, actor=None, grace=timedelta(0))


def _disable_person(pair: Any) -> None:
    from apps.accounts import people

    people.disable_user(user=pair.session.user, by=None)


def _take_role(pair: Any) -> None:
    from apps.accounts import people

    team = pair.session.client.team
    people.take_role(user=pair.session.user, role="member", team=team, by=None)


def _oauth(kind: str) -> str:
    """An access token that a person has given to an application of its own."""
    import uuid

    from apps.accounts.models import Membership, User
    from apps.oauth import services
    from apps.oauth.generators import access_token, digest, refresh_token
    from apps.oauth.models import AccessToken, Application, RefreshToken
    from chatvault.lib import clock

    name = f"{kind}-{time.time_ns()}"
    user = User.objects.create(username=name)
    Membership.objects.create(user=user, team=_client().team, role="member")
    application = services.make_application(
        application=Application(
            payer=_client(),
            name=name,
            client_type=Application.CLIENT_CONFIDENTIAL,
            authorization_grant_type=Application.GRANT_AUTHORIZATION_CODE,
            redirect_uris="https://app.example/cb",
            scopes=["inference"],
        )
    ).application
    shown, common = access_token(), {"user": user, "application": application, "token": ""}
    access = AccessToken.objects.create(
        scope="inference",
        expires=clock.now() + timedelta(minutes=15),
        token_checksum=digest(shown),
        **common,
    )
    _KEPT[kind] = RefreshToken.objects.create(
        access_token=access,
        token_family=uuid.uuid4(),
        token_checksum=digest(refresh_token()),
        **common,
    )
    return shown


def _revoke_token(grant: Any) -> None:
    grant.access_token.revoke()


def _stop_application(grant: Any) -> None:
    from apps.oauth import services

    services.revoke_for_person(user=grant.user, application=grant.application)


def _disable_application(grant: Any) -> None:
    from apps.oauth import services
    from apps.oauth.models import Application

    chosen = Application.objects.filter(pk=grant.application_id)
    services.switch_applications(applications=chosen, is_active=False)


def _disable_holder(grant: Any) -> None:
    from apps.accounts import people

    people.disable_user(user=grant.user, by=None)


def _wait(_: Any) -> None:
    """It ends by itself."""


KINDS: dict[str, tuple[Callable[[str], str], Callable[[Any], None]]] = {
    "key-revoked": (_key, _revoke),
    "key-disabled": (_key, _disable),
    "key-expired": (_expiring_key, _wait),
    "key-rotated": (_key, _rotate),
    "key-of-suspended-client": (_key, _suspend),
    "key-of-closed-team": (_key, _close_team),
    "jwt-session-ended": (_pair, _end_session),
    "jwt-refresh-reused": (_pair, _reuse_refresh),
    "jwt-expired": (_expiring_pair, _wait),
    "jwt-of-suspended-client": (_pair, _suspend),
    "jwt-of-closed-team": (_pair, _close_team),
    "jwt-of-disabled-person": (_pair, _disable_person),
    "jwt-without-role": (_pair, _take_role),
    "oauth-token-revoked": (_oauth, _revoke_token),
    "oauth-consent-withdrawn": (_oauth, _stop_application),
    "oauth-application-disabled": (_oauth, _disable_application),
    "oauth-of-disabled-person": (_oauth, _disable_holder),
    "oauth-of-suspended-client": (_oauth, _suspend),
    "jwt-of-outside-issuer": (_outside, _disable_issuer),
    "jwt-of-ended-signing-key": (_pair, _end_signing_key),
}
