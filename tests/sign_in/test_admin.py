"""The admin's pages about signing in."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.accounts import people
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.sign_in import backoff, mapping, provider_changes
from apps.sign_in.models import FailedSignIns, IdentityProvider, Invitation, PersonSession, RoleRule
from apps.sign_in.outside import secret
from apps.sign_in.sessions import SessionStore
from chatvault.lib import clock
from tests.factories import make_membership, make_team, make_user
from tests.fakes.oidc import CLIENT_ID, CLIENT_SECRET, FakeOidc

pytestmark = pytest.mark.django_db
ADD = reverse("admin:sign_in_identityprovider_add")


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_user(username="owner", is_superuser=True))
    return client


def fields(op: FakeOidc, **other: Any) -> dict[str, Any]:
    rules = {"rules-TOTAL_FORMS": 0, "rules-INITIAL_FORMS": 0}
    return {
        "name": "Example", "slug": "op", "kind": "oidc", "server_url": op.issuer,
        "client_id": CLIENT_ID, "new_secret": CLIENT_SECRET, "first_login": "invited",
        "is_active": "on", **rules, **other,
    }  # fmt: skip


@pytest.fixture
def listed(op: FakeOidc, provider: IdentityProvider) -> FakeOidc:
    provider.delete()
    return op


def test_a_provider_is_set_up_and_its_secret_never_shown(browser: Client, listed: FakeOidc):
    answer = browser.post(ADD, fields(listed))
    assert answer.status_code == 302, re.findall(r"errorlist.*", answer.content.decode())
    row = IdentityProvider.objects.get()
    assert secret.reveal(row) == CLIENT_SECRET
    urls = [
        reverse("admin:sign_in_identityprovider_change", args=[row.pk]),
        reverse("admin:sign_in_identityprovider_changelist"),
    ]
    for url in urls:
        text = browser.get(url).content.decode()
        assert CLIENT_SECRET not in text and row.secret not in text
    assert CLIENT_SECRET not in str(list(AuditEvent.objects.values()))
    assert AuditEvent.objects.filter(action="identity_provider.made").count() == 1


def test_another_server_loses_the_secret(browser: Client, listed: FakeOidc):
    browser.post(ADD, fields(listed))
    row = IdentityProvider.objects.get()
    url = reverse("admin:sign_in_identityprovider_change", args=[row.pk])
    same = fields(listed, new_secret="", name="Renamed")
    assert browser.post(url, same).status_code == 302
    row.refresh_from_db()
    assert (row.name, secret.reveal(row)) == ("Renamed", CLIENT_SECRET)
    other = fields(listed, new_secret="", server_url="https://id.example.org")
    answer = browser.post(url, other, follow=True)
    assert "was removed" in answer.content.decode()
    row.refresh_from_db()
    assert row.secret == ""


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"server_url": "http://id.example.org"}, "is not https"),
        ({"server_url": "ftp://id.example.org"}, "is not a URL"),
        ({"server_url": ""}, "Enter the issuer"),
        ({"kind": "google"}, "leave this empty"),
        (
            {"kind": "microsoft", "server_url": "https://login.microsoftonline.com/common/v2.0"},
            "Name your tenant",
        ),
        ({"first_login": "team"}, "Which team"),
        ({"slug": "a b"}, "valid"),
    ],
)
def test_what_is_wrong_is_said_in_the_form(
    wrong: dict[str, str], told: str, browser: Client, listed: FakeOidc
):
    answer = browser.post(ADD, fields(listed, **wrong))
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert not IdentityProvider.objects.exists()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda op, row: None, "It takes the client ID and the secret"),
        (lambda op, row: secret.seal(row, "wrong"), "does not know this client ID"),
        (lambda op, row: op.discovery.update(issuer="https://x.example"), "calls itself"),
        (
            lambda op, row: op.answers.update({"/jwks": (200, {}, b'{"keys": []}')}),
            "None of its keys",
        ),
        (
            lambda op, row: op.answers.update(
                {"/.well-known/openid-configuration": (404, {}, b"")}
            ),
            "status 404",
        ),
        (
            lambda op, row: op.answers.update(
                {"/.well-known/openid-configuration": (200, {}, b"<html>")}
            ),
            "not JSON",
        ),
    ],
)
def test_the_connection_is_tested(
    spoil: Any, told: str, browser: Client, op: FakeOidc, provider: IdentityProvider
):
    spoil(op, provider)
    provider.save()
    url = reverse("admin:sign_in_identityprovider_test", args=[provider.pk])
    assert told in browser.post(url, follow=True).content.decode()


def test_rules_are_saved_and_limited_to_what_one_has(browser: Client, provider: IdentityProvider):
    team = make_team()
    url = reverse("admin:sign_in_identityprovider_change", args=[provider.pk])
    rule = {
        "rules-TOTAL_FORMS": 1, "rules-0-position": 0, "rules-0-claim": "groups",
        "rules-0-operator": "contains", "rules-0-value": "leads", "rules-0-role": "admin",
        "rules-0-team": team.pk, "rules-0-provider": provider.pk,
    }  # fmt: skip
    posted = {
        "name": "Example", "slug": "op", "kind": "oidc", "server_url": provider.server_url,
        "client_id": CLIENT_ID, "first_login": "invited", "is_active": "on",
        "rules-INITIAL_FORMS": 0, **rule,
    }  # fmt: skip
    answer = browser.post(url, posted)
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    assert str(RoleRule.objects.get()).startswith("groups contains leads: admin")


def test_a_provider_that_goes_takes_its_roles_along(provider: IdentityProvider):
    team, user = make_team(), make_user()
    RoleRule.objects.create(provider=provider, claim="g", value="x", role="admin", team=team)
    mapping.apply(user=user, provider=provider, claims={"g": ["x"]})
    assert user.memberships.exists()
    provider_changes.delete(provider=provider)
    assert not user.memberships.exists()


def test_an_invitation_shows_its_link_once(browser: Client):
    team = make_team()
    answer = browser.post(
        reverse("admin:sign_in_invitation_add"),
        {"email": "ada@example.org", "role": "member", "team": team.pk},
        follow=True,
    )
    link = re.search(r"http://testserver(/sign-in/invitation/[\w-]+/)", answer.content.decode())
    assert link is not None
    assert Client().get(link[1]).status_code == 200
    again = browser.get(reverse("admin:sign_in_invitation_changelist"))
    assert "/sign-in/invitation/" not in again.content.decode()
    browser.post(
        reverse("admin:sign_in_invitation_changelist"),
        {"action": "withdraw", "_selected_action": [Invitation.objects.get().pk]},
    )
    assert Client().get(link[1]).status_code == 404


def test_a_team_lead_invites_into_the_own_team_alone(client: Client):
    lead = make_user()
    team = make_membership(user=lead, role="admin").team
    foreign = make_team()
    client.force_login(lead)
    url = reverse("admin:sign_in_invitation_add")
    for wrong in ({"team": foreign.pk}, {"team": ""}, {"role": "owner"}):
        answer = client.post(url, {"role": "member", "team": team.pk} | wrong)
        assert answer.status_code == 200, wrong
    assert not Invitation.objects.exists()
    client.post(url, {"role": "member", "team": team.pk})
    assert Invitation.objects.get().team == team
    for page in ("identityprovider", "personsession", "failedsignins", "outsideidentity"):
        assert client.get(reverse(f"admin:sign_in_{page}_changelist")).status_code == 403


def session_of(user: User) -> SessionStore:
    browser = Client()
    browser.force_login(user)
    return browser.session  # type: ignore[return-value]


def test_sessions_are_listed_and_ended_in_a_fixed_number_of_queries(browser: Client):
    ada = make_user(username="ada", is_superuser=True)
    url = reverse("admin:sign_in_personsession_changelist")

    def queries() -> int:
        from django.db import connection

        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert browser.get(url).status_code == 200
        return len(seen)

    session_of(ada)
    few = queries()
    for _ in range(5):
        session_of(make_user())
    assert queries() == few
    rows = PersonSession.objects.filter(user=ada)
    assert rows.count() == 1
    browser.post(url, {"action": "end", "_selected_action": [rows.get().pk]})
    assert not rows.exists()


def test_a_lockout_is_lifted(browser: Client):
    for _ in range(5):
        backoff.begin(backoff.subjects("ada", None))
    url = reverse("admin:sign_in_failedsignins_changelist")
    assert "waits" in browser.get(url).content.decode()
    row = FailedSignIns.objects.get()
    browser.post(url, {"action": "lift", "_selected_action": [row.pk]})
    assert backoff.begin(backoff.subjects("ada", None))
    assert AuditEvent.objects.filter(action="sign_in.unlocked").exists()


def test_disabling_somebody_ends_the_sessions_for_good():
    ada = make_user(username="ada")
    key = session_of(ada).session_key
    people.disable_user(user=ada, by=None)
    people.enable_user(user=ada, by=None)
    assert SessionStore(key).load() == {}


def test_a_password_from_the_owner_ends_the_sessions(browser: Client):
    ada = make_user(username="ada")
    session_of(ada)
    word = "correct horse battery staple"
    url = reverse("admin:auth_user_password_change", args=[ada.pk])
    answer = browser.post(url, {"password1": word, "password2": word, "usable_password": "true"})
    assert answer.status_code == 302
    assert not PersonSession.objects.filter(user=ada).exists()
    assert AuditEvent.objects.filter(action="password.set").exists()


def test_what_is_dangerous_asks_again(browser: Client, provider: IdentityProvider):
    url = reverse("admin:sign_in_identityprovider_change", args=[provider.pk])
    with time_machine.travel(clock.now() + timedelta(minutes=31), tick=False):
        answer = browser.get(url)
        assert answer["location"].startswith("/sign-in/again/?next=%2Fadmin%2Fsign_in%2F")
        assert browser.get("/admin/").status_code == 200
        changes = browser.post(url, {"name": "changed while filling in"})
        assert changes.status_code == 200  # there was time to fill the form in
    with time_machine.travel(clock.now() + timedelta(minutes=61), tick=False):
        assert browser.post(url, {"name": "x"})["location"].startswith("/sign-in/again/")


def test_no_page_shows_a_seed_or_what_a_session_holds(browser: Client):
    ada = make_user(username="ada")
    session_of(ada)
    row = Authenticator.objects.create(user=ada, type="totp", data={"secret": "cv1:t1:seed"})
    for url in (
        reverse("admin:mfa_authenticator_changelist"),
        reverse("admin:mfa_authenticator_change", args=[row.pk]),
        reverse("admin:sign_in_personsession_change", args=[ada.sessions.get().pk]),
    ):
        answer = browser.get(url)
        assert (answer.status_code, "cv1:" in answer.content.decode()) == (200, False), url
    assert browser.get("/admin/account/emailaddress/").status_code == 404
