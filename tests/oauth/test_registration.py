"""Dynamic registration: RFC 7591 and RFC 7592, behind an initial access token."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client as Browser

from apps.audit.models import AuditEvent
from apps.oauth import services
from apps.oauth.generators import digest
from apps.oauth.models import AccessToken, Application, InitialAccessToken
from chatvault.lib import clock
from tests.factories.accounts import make_client
from tests.factories.oauth import make_application
from tests.oauth.kit import REDIRECT, api, make_scene

pytestmark = pytest.mark.django_db

METADATA = {"client_name": "Notes", "redirect_uris": [REDIRECT], "scope": "inference"}


def make_initial(**fields):
    given = {
        "name": "for notes",
        "payer": fields.pop("payer", None) or make_client(),
        "scopes": ["inference", "usage:read"],
        "expires_at": clock.now() + timedelta(hours=1),
        "max_uses": 1,
        "user": None,
    }
    row, secret = services.issue_initial_token(**given | fields)
    return row, secret.reveal()


def send(method, path, token=None, body=None, **more):
    headers = {"authorization": f"Bearer {token}"} if token else {}
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    kind = more.pop("content_type", "application/json")
    return Browser().generic(method, path, data, kind, headers=headers)


def register(token, **more):
    return send("POST", "/oauth/register", token, METADATA | more)


def test_an_application_registers_itself():
    """RFC 7591 §3.2.1."""
    initial, token = make_initial()
    answer = register(token)
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    row = Application.objects.get()
    assert told["client_id"] == row.client_id
    assert told["client_secret"]
    assert told["client_secret_expires_at"] == 0
    assert told["client_id_issued_at"] == int(row.created.timestamp())
    assert told["grant_types"] == ["authorization_code", "refresh_token"]
    assert told["response_types"] == ["code"]
    assert told["token_endpoint_auth_method"] == "client_secret_basic"
    assert told["scope"] == "inference"
    assert told["redirect_uris"] == [REDIRECT]
    assert told["registration_client_uri"] == f"http://testserver/oauth/register/{row.client_id}"
    assert (row.payer, row.initial_token, row.scopes) == (initial.payer, initial, ["inference"])
    assert row.registration_digest == digest(told["registration_access_token"])
    initial.refresh_from_db()
    assert initial.uses == 1
    event = AuditEvent.objects.get(action="oauth.application_made")
    assert event.team_id == initial.payer.team_id
    kept = str(list(AuditEvent.objects.values())) + str(vars(row))
    for secret in (told["client_secret"], told["registration_access_token"], token):
        assert secret not in kept


def test_what_was_registered_works():
    scene = make_scene()
    _, token = make_initial(payer=scene.application.payer)
    told = register(token).json()
    row = Application.objects.get(client_id=told["client_id"])
    from chatvault.lib.redact import Secret

    scene.issued = services.Issued(row, Secret(told["client_secret"]))
    assert "registered itself" in scene.ask().content.decode()
    assert api(scene.tokens()["access_token"]).status_code == 200


@pytest.mark.parametrize("why", ["none", "made up", "spent", "expired", "revoked", "suspended"])
def test_nobody_registers_without_a_good_token(why):
    """RFC 7591 §3, RFC 6750 §3.1: uniform, and nothing is made."""
    row, token = make_initial()
    if why == "spent":
        register(token)
        Application.objects.all().delete()
    elif why == "expired":
        InitialAccessToken.objects.update(expires_at=clock.now())
    elif why == "revoked":
        services.revoke_initial_tokens(tokens=InitialAccessToken.objects.all())
    elif why == "suspended":
        type(row.payer).objects.update(is_active=False)
    answer = register({"none": None, "made up": row.digest}.get(why, token))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert Application.objects.count() == 0


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://app.example/cb#f"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://u@app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["com.example.app:/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [REDIRECT] * 21}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": REDIRECT}, "invalid_client_metadata"),
        ({"redirect_uris": [1]}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"grant_types": ["password"]}, "invalid_client_metadata"),
        ({"grant_types": ["refresh_token"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"scope": "inference keys:write"}, "invalid_client_metadata"),
        ({"scope": ["inference"]}, "invalid_client_metadata"),
        ({"client_name": "x" * 101}, "invalid_client_metadata"),
        ({"client_name": "two\nlines"}, "invalid_client_metadata"),
        (
            {"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"},
            "invalid_client_metadata",
        ),
    ],
)
def test_wrong_metadata_is_refused_and_costs_nothing(more, error):
    """RFC 7591 §3.2.2."""
    row, token = make_initial()
    answer = register(token, **more)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.json()["error_description"]
    assert Application.objects.count() == 0
    row.refresh_from_db()
    assert row.uses == 0


@pytest.mark.parametrize("body", ["", "{", "[]", "null", b"\xff", "[" * 50_000])
def test_broken_bodies_are_refused(body):
    _, token = make_initial()
    answer = send("POST", "/oauth/register", token, body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client_metadata")
    form = send("POST", "/oauth/register", token, "a=b", content_type="text/plain")
    assert form.status_code == 400


def test_what_is_not_an_applications_to_say_is_ignored():
    """RFC 7591 §2, S5: mass assignment."""
    initial, token = make_initial()
    other = make_client()
    told = register(
        token,
        client_id="chosen",
        client_secret="chosen",
        payer=other.pk,
        payer_id=other.pk,
        user=1,
        user_id=1,
        skip_authorization=True,
        hash_client_secret=False,
        is_active=False,
        registration_source="manual",
        algorithm="HS256",
        scopes=["admin"],
        created="2001-01-01",
    ).json()
    row = Application.objects.get()
    assert "chosen" not in (told["client_id"], told["client_secret"])
    assert (row.payer, row.user, row.is_active) == (initial.payer, None, True)
    assert (row.skip_authorization, row.hash_client_secret, row.algorithm) == (False, True, "")
    assert (row.scopes, row.registration_source) == (["inference"], "dcr")


def test_a_public_application_gets_no_secret():
    _, token = make_initial()
    told = register(token, token_endpoint_auth_method="none").json()
    assert "client_secret" not in told
    assert told["token_endpoint_auth_method"] == "none"


@pytest.fixture
def registered():
    _, token = make_initial()
    told = register(token).json()
    path = f"/oauth/register/{told['client_id']}"
    return told, path, told["registration_access_token"]


def test_a_registration_is_read(registered):
    """RFC 7592 §2.1."""
    told, path, token = registered
    answer = send("GET", path, token)
    assert answer.status_code == 200
    read = answer.json()
    assert read["registration_access_token"] == token
    assert "client_secret" not in read  # only its digest is kept
    assert read.items() <= told.items()


def test_a_registration_is_replaced_as_a_whole(registered):
    """RFC 7592 §2.2: what is left out goes; the token changes."""
    told, path, token = registered
    body = {
        "client_id": told["client_id"],
        "client_secret": told["client_secret"],
        "redirect_uris": ["https://app.example/new"],
    }
    answer = send("PUT", path, token, body)
    assert answer.status_code == 200
    assert answer.json()["redirect_uris"] == ["https://app.example/new"]
    assert answer.json()["client_name"] == "Unnamed application"
    fresh = answer.json()["registration_access_token"]
    assert fresh != token
    assert send("GET", path, token).status_code == 401
    assert send("GET", path, fresh).status_code == 200
    assert AuditEvent.objects.filter(action="oauth.application_changed").exists()


@pytest.mark.parametrize(
    "more",
    [
        {"client_id": "other"},
        {"client_id": None},
        {"client_secret": "wrong"},
        {"registration_access_token": "x"},
        {"registration_client_uri": "x"},
        {"client_secret_expires_at": 0},
        {"client_id_issued_at": 0},
        {"scope": "admin"},
    ],
)
def test_a_replacement_must_be_right(registered, more):
    """RFC 7592 §2.2."""
    told, path, token = registered
    answer = send("PUT", path, token, METADATA | {"client_id": told["client_id"]} | more)
    assert answer.status_code == 400
    assert send("GET", path, token).status_code == 200


def test_a_registration_is_deleted(registered):
    """RFC 7592 §2.3."""
    _, path, token = registered
    assert send("DELETE", path, token).status_code == 204
    assert Application.objects.count() == 0
    assert send("GET", path, token).status_code == 401


def test_a_registration_is_its_own_alone(registered):
    """RFC 7592 §2, §4: by the token of this very registration; the digest is none."""
    told, path, token = registered
    by_hand = make_application()
    _, second = make_initial()
    other = register(second).json()
    for at in (f"/oauth/register/{by_hand.application.client_id}", "/oauth/register/nobody"):
        assert send("DELETE", at, token).status_code == 401
    assert send("GET", path, other["registration_access_token"]).status_code == 401
    row = Application.objects.get(client_id=told["client_id"])
    for wrong in (None, row.registration_digest, told["client_secret"], ""):
        answer = send("GET", path, wrong)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert Application.objects.count() == 3


def test_registration_tokens_open_nothing_else(registered):
    _, _, token = registered
    assert api(token).status_code == 401
    assert AccessToken.objects.count() == 0
