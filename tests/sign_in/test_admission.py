"""Whom outside providers bring in: domains, existing accounts, rules for roles, invitations."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Membership, User
from apps.sign_in import invitations
from apps.sign_in.models import (
    IdentityProvider,
    Invitation,
    MappedRole,
    OutsideIdentity,
    RoleRule,
)
from tests.factories import make_membership, make_team, make_user
from tests.fakes.oidc import CLIENT_SECRET, FakeOidc
from tests.sign_in.coming import come, is_in, open_to_all, refusals, start

pytestmark = pytest.mark.django_db


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


def github(op: FakeOidc, provider: IdentityProvider, **primary: Any) -> None:
    """The server above as GitHub Enterprise; its code is of no interest here."""
    open_to_all(provider)
    provider.kind = IdentityProvider.Kind.GITHUB
    provider.save()
    address = {"email": "ada@example.org", "primary": True, "verified": True} | primary
    other = {"email": "other@example.org", "primary": False, "verified": True}
    for path, found in {
        "/login/oauth/access_token": {"access_token": "t", "token_type": "bearer"},
        "/api/v3/user": {"id": 583231, "login": "ada-l", "name": "Ada Lovelace"},
        "/api/v3/user/emails": [other, address],
        "/api/v3/user/orgs": [{"login": "example-org"}],
    }.items():
        op.answers[path] = (200, {}, json.dumps(found).encode())


def come_from_github(browser: Client) -> Any:
    asked = parse_qs(urlsplit(start(browser)).query)
    assert asked["code_challenge_method"] == ["S256"] and "nonce" not in asked
    url = reverse("sign_in_callback", args=["op"])
    return browser.get(url, {"code": "c", "state": asked["state"][0]})


def test_github_says_who_it_is_and_in_which_organisations(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    github(op, provider)
    red = make_team()
    RoleRule.objects.create(
        provider=provider, claim="organizations", value="example-org", role="admin", team=red
    )
    assert come_from_github(client).status_code == 302
    user = User.objects.get()
    assert (user.username, user.email) == ("ada-l", "ada@example.org")
    assert OutsideIdentity.objects.get().subject == "583231"
    assert user.memberships.get(team=red).role == "admin"
    sent = op.asked("/login/oauth/access_token")[0]
    assert (sent["client_secret"], len(sent["code_verifier"])) == (CLIENT_SECRET, 43)


def test_an_address_that_github_has_not_verified_opens_no_domain(
    client: Client, op: FakeOidc, provider: IdentityProvider
):
    github(op, provider, verified=False)
    IdentityProvider.objects.update(allowed_domains="example.org")
    assert come_from_github(client).status_code == 403
    assert not User.objects.exists()


@pytest.mark.parametrize(("age_s", "is_taken"), [(30, True), (3600, False)])
def test_proving_it_again_takes_a_fresh_proof(
    age_s: int, is_taken: bool, client: Client, op: FakeOidc, provider: IdentityProvider
):
    open_to_all(provider)
    come(client, op)
    op.change = lambda claims: claims.update(auth_time=int(time.time()) - age_s)
    assert "max_age=0" in start(client)
    assert (come(client, op, next="/admin/").status_code == 302) is is_taken
