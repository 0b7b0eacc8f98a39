from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.accounts import jwt_sessions, signing
from apps.accounts.models import IssuerRule, SigningKey, TokenSession, TrustedIssuer
from tests.factories.accounts import make_client, make_membership, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    browser = Browser()
    browser.force_login(make_user(is_superuser=True, is_staff=True))
    return browser


@pytest.fixture
def session():
    user, team = make_user(username="anna"), make_team()
    make_membership(user=user, team=team, role="member")
    client = make_client(team=team)
    return jwt_sessions.begin(user=user, client=client, name="laptop").session


def test_a_new_key_signs_and_the_old_one_is_believed(owner):
    old = signing.make_signing_key()
    url = reverse("admin:accounts_signingkey_changelist")
    owner.post(url, {"action": "rotate", "_selected_action": [old.pk]})
    old.refresh_from_db()
    assert old.retired_at is not None
    assert old.ends_at is not None
    assert SigningKey.objects.signing().first() != old
    page = owner.get(url).content.decode()
    assert "retired" in page
    assert "signs" in page


def test_a_key_is_ended_at_once(owner):
    key = signing.make_signing_key()
    url = reverse("admin:accounts_signingkey_changelist")
    owner.post(url, {"action": "end", "_selected_action": [key.pk]})
    assert key.kid not in {one["kid"] for one in signing.jwks()["keys"]}


def test_no_page_shows_what_is_secret(owner, session):
    key = signing.signing_key()
    for url in (
        reverse("admin:accounts_signingkey_changelist"),
        reverse("admin:accounts_signingkey_change", args=[key.pk]),
        reverse("admin:accounts_tokensession_changelist"),
        reverse("admin:accounts_tokensession_change", args=[session.pk]),
    ):
        answer = owner.get(url)
        assert answer.status_code == 200
        page = answer.content.decode()
        assert key.sealed not in page
        assert session.refresh_jti not in page


def test_sessions_are_ended_from_the_list(owner, session):
    url = reverse("admin:accounts_tokensession_changelist")
    owner.post(url, {"action": "end", "_selected_action": [session.pk]})
    session.refresh_from_db()
    assert session.ended_because == "ended in the admin"
    assert "revoked" in owner.get(url).content.decode()


def test_the_list_of_sessions_asks_a_fixed_number_of_queries(
    owner, session, django_assert_num_queries
):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    url = reverse("admin:accounts_tokensession_changelist")
    owner.get(url)
    with CaptureQueriesContext(connection) as one:
        owner.get(url)
    for _ in range(5):
        make_membership(user=session.user)
        jwt_sessions.begin(user=session.user, client=session.client)
    with CaptureQueriesContext(connection) as six:
        owner.get(url)
    assert TokenSession.objects.count() == 6
    assert len(six) == len(one)


def issuer_form(**changes):
    return {
        "name": "company",
        "issuer": "https://id.example.com",
        "audiences": "chatvault, api://chatvault",
        "jwks_url": "",
        "max_lifetime_s": "3600",
        "is_active": "on",
        "rules-TOTAL_FORMS": "1",
        "rules-INITIAL_FORMS": "0",
        "rules-0-position": "0",
        "rules-0-claim": "groups",
        "rules-0-value": "research",
        "rules-0-scopes": "inference, usage:read",
        **changes,
    }


def test_an_issuer_is_made_with_its_rules(owner, settings):
    client = make_client()
    form = issuer_form(**{"rules-0-client": str(client.pk)})
    form["jwks_url"] = "https://127.0.0.1/keys"  # refused by the guard: nothing leaves this test
    answer = owner.post(reverse("admin:accounts_trustedissuer_add"), form, follow=True)
    issuer = TrustedIssuer.objects.get()
    assert issuer.audiences == ["chatvault", "api://chatvault"]
    assert IssuerRule.objects.get().scopes == ["inference", "usage:read"]
    assert "cannot be fetched" in answer.content.decode()
    assert issuer.fetch_problem


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"issuer": "id.example.com"}, "Write a whole address"),
        ({"issuer": "file:///etc/passwd"}, "Write a whole address"),
        ({"jwks_url": "https://user@id.example.com/keys"}, "Write a whole address"),
        ({"rules-0-scopes": "inference, people:write"}, "There is no scope people:write"),
        ({"audiences": ""}, "required"),
    ],
)
def test_what_makes_no_sense_is_refused(owner, changes, told):
    client = make_client()
    form = issuer_form(**{"rules-0-client": str(client.pk), **changes})
    answer = owner.post(reverse("admin:accounts_trustedissuer_add"), form)
    assert told in answer.content.decode()
    assert not TrustedIssuer.objects.exists()
