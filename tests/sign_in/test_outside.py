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

from apps.accounts.models import InstallationRole, Membership, User
from apps.audit.models import AuditEvent
from apps.sign_in import invitations
from apps.sign_in.models import (
    IdentityProvider,
    Invitation,
    MappedRole,
    OutsideIdentity,
    PersonSession,
    RoleRule,
)
from apps.sign_in.outside import secret
from tests.factories import make_membership, make_team, make_user
from tests.fakes.oidc import CLIENT_SECRET, FakeOidc

pytestmark = pytest.mark.django_db


def start(browser: Client, **extra: str) -> str:
    answer = browser.post(reverse("sign_in_with", args=["op"]), extra)
    assert answer.status_code == 302, answer.content
    return str(answer["location"])


def come(browser: Client, op: FakeOidc, **extra: str) -> Any:
    """There and back, as a browser goes."""
    return browser.get(op.agree(start(browser, **extra)))


def is_in(browser: Client) -> bool:
    return browser.get(reverse("sign_in_account")).status_code == 200


def open_to_all(provider: IdentityProvider, role: str = "member") -> IdentityProvider:
    provider.first_login, provider.default_role = IdentityProvider.FirstLogin.TEAM, role
    provider.default_team = make_team()
    provider.save()
    return provider


def refusals() -> list[str]:
    rows = AuditEvent.objects.filter(action="sign_in.failed").order_by("id")
    return [row.after["reason"] for row in rows]


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
    assert client.get(back).status_code == 403  # works once


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
    if answer.status_code == 302:
        answer = client.get(op.agree(answer["location"]))
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
    if answer.status_code == 302:
        answer = client.get(op.agree(answer["location"]))
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


@pytest.mark.parametrize(
    "case",
    [
        ("ada@example.org", True, None),
        ("ADA@Example.ORG", True, None),
        ("ada@example.org", False, "unverified"),
        ("ada@evil.example", True, "domain"),
        ("ada@example.org.evil.example", True, "domain"),
        ("ada@sub.example.org", True, "domain"),
        ("", True, "unverified"),
    ],
)
def test_domains_let_in_verified_addresses_alone(
    case: tuple[str, bool, str | None], client: Client, op: FakeOidc, provider: Any
):
    email, is_verified, why = case
    open_to_all(provider)
    provider.allowed_domains = "@example.org, example.net"
    provider.save()
    op.person.email, op.person.email_verified = email, is_verified
    come(client, op)
    assert is_in(client) is (why is None)
    assert refusals() == ([why] if why else [])


def test_leaving_the_domain_shuts_the_door(client: Client, op: FakeOidc, provider: Any):
    open_to_all(provider)
    provider.allowed_domains = "example.org"
    provider.save()
    come(client, op)
    op.person.email = "ada@elsewhere.example"
    again = Client()
    come(again, op)
    assert not is_in(again)


@pytest.mark.parametrize(
    "case",
    [(False, True, False), (True, False, False), (True, True, True)],
)
def test_an_existing_account_is_not_taken_over_by_its_address(
    case: tuple[bool, bool, bool], client: Client, op: FakeOidc, provider: Any
):
    is_allowed, is_verified, is_linked = case
    owner = make_user(username="ada", email="Ada@example.org", is_superuser=True)
    open_to_all(provider)
    provider.links_by_email = is_allowed
    provider.save()
    op.person.email_verified = is_verified
    come(client, op)
    assert OutsideIdentity.objects.filter(user=owner).exists() is is_linked
    assert (client.get("/admin/").wsgi_request.user == owner) is is_linked


def test_somebody_signed_in_links_an_identity(client: Client, op: FakeOidc, provider: Any):
    ada = make_user(username="ada")
    client.force_login(ada)
    assert come(client, op, purpose="link")["location"] == reverse("sign_in_account")
    fresh = Client()
    come(fresh, op)
    assert fresh.get(reverse("sign_in_account")).wsgi_request.user == ada
    eve = make_user(username="eve")
    other = Client()
    other.force_login(eve)
    assert come(other, op, purpose="link").status_code == 403
    assert OutsideIdentity.objects.get().user == ada


def test_linking_ends_with_the_session_in_which_it_began(
    client: Client, op: FakeOidc, provider: Any
):
    client.force_login(make_user(username="ada"))
    back = op.agree(start(client, purpose="link"))
    client.force_login(make_user(username="eve"))
    assert client.get(back).status_code == 403
    assert not OutsideIdentity.objects.exists()


def test_the_last_way_in_is_not_removed(client: Client, op: FakeOidc, provider: Any):
    open_to_all(provider)
    come(client, op)
    row = OutsideIdentity.objects.get()
    client.post(reverse("sign_in_unlink", args=[row.pk]))
    assert OutsideIdentity.objects.exists()
    row.user.set_password("correct horse battery staple")
    row.user.save()
    eve = Client()
    eve.force_login(make_user())
    assert eve.post(reverse("sign_in_unlink", args=[row.pk])).status_code == 404
    client.force_login(row.user)
    client.post(reverse("sign_in_unlink", args=[row.pk]))
    assert not OutsideIdentity.objects.exists()


def test_rules_give_and_take_roles_at_each_sign_in(client: Client, op: FakeOidc, provider: Any):
    open_to_all(provider, "viewer")
    red, blue = make_team(name="red"), make_team(name="blue")
    RoleRule.objects.create(
        provider=provider, claim="groups", value="leads", role="admin", team=red
    )
    RoleRule.objects.create(
        provider=provider, claim="groups", value="staff", role="member", team=red, position=1
    )
    RoleRule.objects.create(
        provider=provider, claim="realm.roles", value="audit", role="auditor", position=2
    )
    op.person.more = {"groups": ["leads", "staff"], "realm": {"roles": ["audit"]}}
    come(client, op)
    user = User.objects.get()

    def roles() -> dict[str, str]:
        rows = user.memberships.filter(team__in=(red, blue))
        return {row.team.name: row.role for row in rows}

    assert roles() == {"red": "admin"}
    assert [r.role for r in user.installation_roles.all()] == ["auditor"]
    make_membership(user=user, team=blue, role="viewer")  # by hand
    op.person.more = {"groups": ["staff"]}
    come(Client(), op)
    assert roles() == {"red": "member", "blue": "viewer"}
    assert not user.installation_roles.exists()
    Membership.objects.filter(user=user, team=red).update(role="billing_admin")  # by hand
    op.person.more = {"groups": []}
    come(Client(), op)
    assert roles() == {"red": "billing_admin", "blue": "viewer"}
    assert not MappedRole.objects.exists()


@pytest.mark.parametrize("value", ["leads-of-nothing", "LEADS", "lead", ["x"], {"leads": 1}, None])
def test_a_rule_fits_whole_values_alone(value: Any, client: Client, op: FakeOidc, provider: Any):
    open_to_all(provider)
    red = make_team()
    for operator in RoleRule.Operator:
        RoleRule.objects.create(
            provider=provider, claim="g", operator=operator, value="leads", role="admin", team=red
        )
    op.person.more = {"g": value}
    come(client, op)
    assert not Membership.objects.filter(team=red).exists()


def test_claims_that_the_token_lacks_come_from_userinfo(
    client: Client, op: FakeOidc, provider: Any
):
    open_to_all(provider)
    op.change = lambda claims: claims.pop("email")
    come(client, op)
    assert User.objects.get().email == "ada@example.org"


def test_userinfo_about_somebody_else_is_refused(client: Client, op: FakeOidc, provider: Any):
    open_to_all(provider)
    op.change = lambda claims: (claims.pop("email"), claims.update(sub="another"))
    assert come(client, op).status_code == 403
    assert not User.objects.exists()


def invited(**fields: Any) -> tuple[Invitation, str]:
    owner = make_user(username="owner", is_superuser=True)
    return invitations.invite(by=owner, **{"role": "member", "team": make_team()} | fields)


def test_an_invitation_brings_one_person_in_once(client: Client, op: FakeOidc, provider: Any):
    invitation, token = invited()
    assert client.get(reverse("sign_in_invitation", args=[token])).status_code == 200
    come(client, op, invitation=token)
    user = User.objects.get(username="ada.l")
    assert user.memberships.get().team == invitation.team
    op.person.sub, op.person.preferred_username = "other", "eve"
    assert come(Client(), op, invitation=token).status_code == 403
    assert not User.objects.filter(username="eve").exists()
    assert client.get(reverse("sign_in_invitation", args=[token])).status_code == 404


@pytest.mark.parametrize(("email", "is_verified"), [("eve@example.org", True), ("", True)])
def test_an_invitation_for_an_address_is_for_no_other(
    email: str, is_verified: bool, client: Client, op: FakeOidc, provider: Any
):
    _, token = invited(email="ada@example.org")
    op.person.email, op.person.email_verified = email, is_verified
    assert come(client, op, invitation=token).status_code == 403
    op.person.email, op.person.email_verified = "ada@example.org", False
    assert come(client, op, invitation=token).status_code == 403
    op.person.email_verified = True
    assert come(client, op).status_code == 302  # found by the verified address, without the link


def test_an_invitation_makes_a_local_account(client: Client):
    _, token = invited(email="ada@example.org")
    word = "correct horse battery staple"
    answer = client.post(
        reverse("sign_in_invitation", args=[token]),
        {"username": "ada", "password1": word, "password2": word},
    )
    assert answer.status_code == 302, answer.content
    user = User.objects.get(username="ada")
    assert (user.email, user.memberships.get().role) == ("ada@example.org", "member")
    assert client.get("/admin/").status_code == 200


def test_nobody_invites_to_more_than_they_have(client: Client):
    from apps.accounts.errors import NotYoursToGive

    lead = make_user()
    team = make_membership(user=lead, role="admin").team
    with pytest.raises(NotYoursToGive):
        invitations.invite(by=lead, role="owner", team=None)
    with pytest.raises(NotYoursToGive):
        invitations.invite(by=lead, role="member", team=make_team())
    _, token = invitations.invite(by=lead, role="member", team=team)
    Membership.objects.filter(user=lead).delete()  # may not give it any more
    client.force_login(make_user())
    client.post(reverse("sign_in_invitation", args=[token]))
    assert not Membership.objects.filter(team=team).exists()


def test_an_inactive_account_or_provider_lets_nobody_in(
    client: Client, op: FakeOidc, provider: Any
):
    open_to_all(provider)
    come(client, op)
    User.objects.update(is_active=False)
    assert come(Client(), op).status_code == 403
    User.objects.update(is_active=True)
    late = Client()
    back = op.agree(start(late))
    IdentityProvider.objects.update(is_active=False)
    assert late.get(back).status_code == 404
    assert late.post(reverse("sign_in_with", args=["op"])).status_code == 404


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
