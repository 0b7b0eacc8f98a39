from __future__ import annotations

from datetime import timedelta

import jwt
import pytest
from rest_framework.test import APIClient

from apps.accounts import jwt_sessions, second_factor, signing
from apps.accounts.jwt_tokens import AccessToken
from apps.accounts.models import SigningKey, TokenSession
from apps.audit.models import AuditEvent
from apps.configuration.models import Announcement
from chatvault.lib import clock
from tests.factories.accounts import make_client, make_membership, make_team, make_user

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"
OBTAIN = "/api/v1/auth/token"
REFRESH = f"{OBTAIN}/refresh"
VERIFY = f"{OBTAIN}/verify"
REVOKE = f"{OBTAIN}/revoke"


@pytest.fixture(autouse=True)
def quick_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def anna():
    user = make_user(username="anna", password=PASSWORD)
    team = make_team(name="research")
    make_membership(team=team, user=user, role="member")
    make_client(team=team, name="notebook")
    return user


def obtain(**more):
    body = {"username": "anna", "password": PASSWORD, **more}
    return APIClient().post(OBTAIN, body, format="json")


def verified(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client.get(VERIFY)


def refreshed(token):
    return APIClient().post(REFRESH, {"refresh": token}, format="json")


def test_a_pair_is_obtained_and_tells_who_holds_it(anna):
    answer = obtain(client="notebook", scopes=["inference", "usage:read"], name="laptop")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    pair = answer.json()
    assert pair["token_type"] == "Bearer"
    assert pair["expires_in"] == 900
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    assert claims["iss"] == "chatvault"
    assert claims["aud"] == "chatvault"
    assert claims["scope"] == "inference usage:read"
    assert claims["client_id"] == "notebook"
    assert jwt.get_unverified_header(pair["access"])["typ"] == "at+jwt"
    holder = verified(pair["access"]).json()
    assert holder == {
        "active": True,
        "kind": "jwt",
        "name": "anna",
        "client_id": TokenSession.objects.get().client_id,
        "scopes": ["inference", "usage:read"],
    }
    event = AuditEvent.objects.get(action="jwt.session_begun")
    assert (event.actor, event.address) == ("anna", "127.0.0.1")
    assert pair["access"] not in str(vars(event))


def test_any_library_checks_a_token_by_the_jwks(anna):
    token = obtain().json()["access"]
    keys = APIClient().get("/api/v1/auth/jwks.json").json()
    assert all("d" not in key for key in keys["keys"])
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="chatvault", issuer="chatvault")
    assert claims["sub"] == f"user:{anna.pk}"


@pytest.mark.parametrize(
    "given",
    [
        {"password": "wrong"},
        {"username": "nobody"},
        {"username": "anna' OR 1=1 --"},
        {"username": "%", "password": "%"},
    ],
)
def test_refusals_look_the_same(anna, given):
    answer = obtain(**given)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == (
        "The user name, the password or the code is wrong."
    )
    assert TokenSession.objects.count() == 0


def test_a_disabled_person_is_refused_like_a_stranger(anna):
    anna.is_active = False
    anna.save()
    assert obtain().json() == obtain(username="nobody").json()


def test_a_second_factor_is_asked_for(anna, monkeypatch):
    monkeypatch.setattr(second_factor, "_checks", [lambda user, code: code == "123456"])
    assert obtain().status_code == 401
    assert obtain(code="000000").status_code == 401
    assert obtain(code="123456").status_code == 200


@pytest.mark.parametrize(
    ("given", "status", "field"),
    [
        ({"scopes": ["inference", "root"]}, 400, "scopes"),
        ({"scopes": ["keys:write"], "client": "notebook"}, 403, "scopes"),
        ({"scopes": ["people:write"]}, 403, "scopes"),
        ({"client": "foreign"}, 400, "client"),
        ({"client": "absent"}, 400, "client"),
        ({"is_superuser": True}, 400, "is_superuser"),
        ({"user_id": 1}, 400, "user_id"),
        ({"scopes": "inference"}, 400, "scopes"),
    ],
)
def test_nobody_gets_more_than_they_have(anna, given, status, field):
    make_client(name="foreign")
    answer = obtain(**given)
    assert answer.status_code == status
    assert answer.json()["error"]["param"] == field
    assert TokenSession.objects.count() == 0


def test_a_foreign_client_and_none_read_the_same(anna):
    make_client(name="foreign")
    foreign, absent = obtain(client="foreign").json(), obtain(client="absent").json()
    assert str(foreign).replace("foreign", "") == str(absent).replace("absent", "")


def test_a_refresh_token_works_once_and_its_second_use_ends_all(anna):
    first = obtain().json()
    second = refreshed(first["refresh"]).json()
    assert verified(second["access"]).status_code == 200
    assert verified(first["access"]).status_code == 200  # until it expires
    assert refreshed(first["refresh"]).status_code == 401
    for token in (first["access"], second["access"]):
        assert verified(token).status_code == 401
    assert refreshed(second["refresh"]).status_code == 401
    session = TokenSession.objects.get()
    assert session.ended_because == "refresh token used twice"
    assert AuditEvent.objects.filter(action="jwt.session_ended").count() == 1
    topics = Announcement.objects.filter(topic="accounts.holder").values_list("subject", flat=True)
    assert list(topics) == [f"session:{session.pk}"]


def test_the_two_kinds_of_tokens_are_not_mixed_up(anna):
    pair = obtain().json()
    assert verified(pair["refresh"]).status_code == 401
    assert refreshed(pair["access"]).status_code == 401
    assert TokenSession.objects.live(clock.now()).count() == 1


@pytest.mark.parametrize("which", ["access", "refresh"])
def test_a_revoked_session_is_over(anna, which):
    pair = obtain().json()
    answer = APIClient().post(REVOKE, {"token": pair[which]}, format="json")
    assert answer.status_code == 204
    assert verified(pair["access"]).status_code == 401
    assert refreshed(pair["refresh"]).status_code == 401
    again = APIClient().post(REVOKE, {"token": "ey.nothing.here"}, format="json")
    assert again.status_code == 204


def test_who_loses_a_role_loses_it_in_tokens_too(anna):
    pair = obtain(client="notebook").json()
    assert "inference" in verified(pair["access"]).json()["scopes"]
    anna.memberships.all().delete()
    assert verified(pair["access"]).json()["scopes"] == []


def test_a_disabled_person_a_closed_client_and_team_stop_tokens(anna):
    pair = obtain(client="notebook").json()
    client = TokenSession.objects.get().client
    for row in (client, client.team):
        row.is_active = False
        row.save()
        assert verified(pair["access"]).status_code == 403
        row.is_active = True
        row.save()
    anna.is_active = False
    anna.save()
    assert verified(pair["access"]).status_code == 401
    assert refreshed(pair["refresh"]).status_code == 401


def test_expired_tokens_are_refused(anna, time_machine):
    pair = obtain().json()
    time_machine.move_to(clock.now() + timedelta(seconds=915))
    assert verified(pair["access"]).status_code == 401
    later = refreshed(pair["refresh"])
    assert later.status_code == 200
    time_machine.move_to(clock.now() + timedelta(days=15))
    assert refreshed(later.json()["refresh"]).status_code == 401


def test_a_session_cannot_be_refreshed_for_ever(anna, time_machine):
    token = obtain().json()["refresh"]
    for _ in range(9):
        time_machine.move_to(clock.now() + timedelta(days=12))
        answer = refreshed(token)
        if answer.status_code != 200:
            break
        token = answer.json()["refresh"]
    assert answer.status_code == 401
    session = TokenSession.objects.get()
    assert session.expires_at - session.created_at <= timedelta(days=90)


def test_keys_are_rotated_without_anybody_noticing_and_ended_at_once(anna):
    before = obtain().json()
    signing.rotate_signing_keys()
    after = obtain().json()
    kids = [jwt.get_unverified_header(pair["access"])["kid"] for pair in (before, after)]
    assert kids[0] != kids[1]
    assert [verified(pair["access"]).status_code for pair in (before, after)] == [200, 200]
    signing.end_signing_key(key=SigningKey.objects.get(kid=kids[0]))
    assert [verified(pair["access"]).status_code for pair in (before, after)] == [401, 200]


def test_the_private_half_is_sealed_and_bound_to_its_row(anna):
    obtain()
    one, two = signing.signing_key(), signing.make_signing_key()
    assert "PRIVATE" not in one.sealed
    assert "BEGIN PRIVATE KEY" in signing.private_of(one).reveal()
    one.sealed = two.sealed
    with pytest.raises(Exception, match="does not belong here"):
        signing.private_of(one)


def test_a_token_of_a_session_that_there_is_not_is_refused(anna):
    token = AccessToken()
    token["sub"], token["sid"] = f"user:{anna.pk}", "0" * 32
    assert verified(str(token)).status_code == 401


def test_a_signed_in_person_needs_no_password(anna):
    client = APIClient()
    client.force_login(anna)
    pair = client.post(OBTAIN, {"client": "notebook"}, format="json").json()
    assert verified(pair["access"]).json()["name"] == "anna"


def test_another_person_cannot_end_it(anna):
    pair = obtain().json()
    other = make_user()
    assert not jwt_sessions.revoke_token(token=pair["access"], user_id=other.pk)
    assert jwt_sessions.revoke_token(token=pair["access"], user_id=anna.pk)


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"refresh": 7e999}', b"\xff"])
def test_rubbish_is_refused_in_the_envelope(body):
    answer = APIClient().post(REFRESH, body, content_type="application/json")
    assert answer.status_code in (400, 401)
    assert set(answer.json()["error"]) >= {"message", "type", "code"}


def test_a_session_with_csrf_checks_needs_the_token(anna):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(anna)
    assert client.post(OBTAIN, {}, format="json").status_code == 403
