"""Signing in with an OpenID provider that really answers, truthfully or not."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client
from django.urls import reverse

from apps.accounts.models import InstallationRole, User
from apps.sign_in.models import (
    IdentityProvider,
    OutsideIdentity,
    PersonSession,
)
from apps.sign_in.outside import secret
from tests.fakes.oidc import CLIENT_SECRET, FakeOidc
from tests.sign_in.coming import come, is_in, open_to_all, refusals, start

pytestmark = pytest.mark.django_db


def test_sends_state_nonce_and_pkce(client: Client, op: FakeOidc, provider: IdentityProvider):
    asked = {k: v[0] for k, v in parse_qs(urlsplit(start(client)).query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) == len(asked["nonce"]) == len(asked["code_challenge"]) == 43
    again = parse_qs(urlsplit(start(client)).query)
    assert all(again[name][0] != asked[name] for name in ("state", "nonce", "code_challenge"))


def test_only_who_was_invited_comes(client: Client, op: FakeOidc, provider: IdentityProvider):
    answer = come(client, op)
    assert answer.status_code == 403
    assert "nobody has invited you" in answer.content.decode()
    assert (User.objects.count(), OutsideIdentity.objects.count()) == (0, 0)
    assert refusals() == ["not_invited"]


def test_a_default_team_takes_whoever_comes(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    assert come(client, op, next="/admin/")["location"] == "/admin/"
    user = User.objects.get()
    assert (user.username, user.email, user.first_name) == ("ada.l", "ada@example.org", "Ada")
    assert not user.has_usable_password() and not user.is_superuser and not user.is_staff
    assert not InstallationRole.objects.exists()
    assert [m.role for m in user.memberships.all()] == ["member"]
    assert PersonSession.objects.get(user=user).way == "Example"
    again = Client()
    come(again, op)
    assert (User.objects.count(), is_in(again)) == (1, True)


def _other_key(claims: dict[str, Any]) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"})


FORGERIES: dict[str, Any] = {
    "wrong nonce": lambda c: c.update(nonce="another"),
    "no nonce": lambda c: c.pop("nonce"),
    "wrong audience": lambda c: c.update(aud="another"),
    "several audiences": lambda c: c.update(aud=["chatvault", "another"]),
    "for another party": lambda c: c.update(azp="another"),
    "wrong issuer": lambda c: c.update(iss="https://evil.example"),
    "issuer that begins so": lambda c: c.update(iss=c["iss"] + ".evil.example"),
    "expired": lambda c: c.update(exp=int(time.time()) - 100, iat=int(time.time()) - 200),
    "not yet valid": lambda c: c.update(nbf=int(time.time()) + 600),
    "no subject": lambda c: c.pop("sub"),
    "empty subject": lambda c: c.update(sub=""),
    "subject that is a number": lambda c: c.update(sub=7),
    "no expiry": lambda c: c.pop("exp"),
}
FORGED: dict[str, Any] = {
    "alg none": lambda c: jwt.encode(c, None, algorithm="none", headers={"kid": "k1"}),
    "HS256 with our secret": lambda c: jwt.encode(
        c, CLIENT_SECRET.ljust(32), algorithm="HS256", headers={"kid": "k1"}
    ),
    "another key": _other_key,
    "unknown key": lambda c: jwt.encode(
        c, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "k9"}
    ),
    "no token": lambda c: "",
    "garbage": lambda c: "a.b.c",
}


@pytest.mark.parametrize("name", [*FORGERIES, *FORGED])
def test_a_forged_answer_signs_nobody_in(
    name: str, client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    if name in FORGERIES:
        op.change = FORGERIES[name]
    else:
        op.forge = FORGED[name]
    answer = come(client, op)
    assert answer.status_code == 403
    assert not is_in(client)
    assert (User.objects.count(), OutsideIdentity.objects.count()) == (0, 0)


def test_a_token_with_a_key_in_its_head_is_not_believed(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    op.forge = lambda claims: jwt.encode(
        claims, key, algorithm="ES256", headers={"kid": "k1", "jwk": jwk}
    )
    assert come(client, op).status_code == 403


def test_an_answer_for_another_browser_is_refused(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    back = op.agree(start(client))
    victim = Client()
    assert victim.get(back).status_code == 403
    assert not is_in(victim)
    assert not op.asked("/token")
    assert client.get(back).status_code == 302
    assert client.get(back).status_code == 403
    assert len(op.asked("/token")) == 1  # a state works once, whatever its code does


def test_an_answer_of_another_issuer_is_refused(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    back = op.agree(start(client)).replace(f"{op.port}", "1")
    assert client.get(back).status_code == 403
    assert not op.asked("/token")


def test_a_code_of_somebody_else_does_not_fit_the_verifier(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    stolen = parse_qs(urlsplit(op.agree(start(Client()))).query)["code"][0]
    state = parse_qs(urlsplit(start(client)).query)["state"][0]
    url = reverse("sign_in_callback", args=["op"])
    assert client.get(url, {"code": stolen, "state": state}).status_code == 403
    assert not is_in(client)


METADATA = "http://169.254.169.254/latest/meta-data/"


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
def test_no_redirect_is_followed(
    path: str, client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    op.answers[path] = (302, {"location": METADATA}, b"")
    answer = client.post(reverse("sign_in_with", args=["op"]))
    if answer.status_code == 200:
        answer = client.get(op.agree(answer.context["url"]))
    assert answer.status_code == 403
    assert "redirects, which is not followed" in answer.content.decode()
    assert not is_in(client)


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
def test_no_forbidden_address_is_asked(
    name: str,
    client: Client,
    op: FakeOidc,
    provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
):
    import socket

    connected: list[str] = []
    real = socket.create_connection
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda to, *a, **k: connected.append(to[0]) or real(to, *a, **k),
    )
    open_to_all(provider)
    op.change = lambda claims: claims.pop("email")
    op.discovery[name] = "https://169.254.169.254/x"
    answer = client.post(reverse("sign_in_with", args=["op"]))
    if answer.status_code == 200:
        answer = client.get(op.agree(answer.context["url"]))
    assert answer.status_code == 403
    assert set(connected) == {"127.0.0.1"}


def test_another_issuer_in_discovery_is_refused(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    op.discovery["issuer"] = "https://accounts.google.com"
    answer = client.post(reverse("sign_in_with", args=["op"]))
    assert (answer.status_code, "calls itself" in answer.content.decode()) == (403, True)


def test_a_host_that_the_operator_did_not_list_is_not_asked(
    client: Client, op: FakeOidc, provider: IdentityProvider, settings: Any
):
    from dataclasses import replace

    own = settings.CHATVAULT.sign_in.model_copy(update={"private_hosts": ()})
    settings.CHATVAULT = replace(settings.CHATVAULT, sign_in=own)
    answer = client.post(reverse("sign_in_with", args=["op"]))
    assert (answer.status_code, op.seen) == (403, [])


def test_the_secret_opens_for_its_server_alone(op: FakeOidc, provider: IdentityProvider):
    assert CLIENT_SECRET not in provider.secret
    assert secret.reveal(provider) == CLIENT_SECRET
    assert not secret.wipe_if_moved(provider)
    provider.server_url = "https://evil.example"
    from apps.sign_in.errors import ProviderFailed

    with pytest.raises(ProviderFailed):
        secret.reveal(provider)
    assert secret.wipe_if_moved(provider)
    assert provider.secret == ""
