"""Refresh (RFC 6749 §6, RFC 9700 §4.14), revocation (RFC 7009), introspection (RFC 7662)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.test import Client as Browser

from apps.audit.models import AuditEvent
from apps.configuration.models import Announcement
from apps.oauth import services
from apps.oauth.generators import digest
from apps.oauth.models import AccessToken, RefreshToken
from chatvault.lib import clock
from tests.factories.oauth import make_application
from tests.oauth.kit import api, make_scene

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene():
    return make_scene()


def test_a_refresh_token_is_exchanged_for_the_next_pair(scene):
    """RFC 9700 §4.14.2: rotation; the access token before it ends."""
    first = scene.tokens()
    second = scene.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["scope"] == first["scope"]
    assert api(first["access_token"]).status_code == 401
    assert api(second["access_token"]).status_code == 200


def test_a_refresh_token_that_is_used_twice_ends_its_family_and_no_other(scene):
    """RFC 9700 §4.14.2, DOT #1816: no grace, and nothing of the family works any more."""
    other = scene.tokens()
    first = scene.tokens()
    second = scene.refresh(first["refresh_token"]).json()
    third = scene.refresh(second["refresh_token"]).json()
    again = scene.refresh(first["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert api(third["access_token"]).status_code == 401
    assert scene.refresh(third["refresh_token"]).json()["error"] == "invalid_grant"
    assert api(other["access_token"]).status_code == 200
    event = AuditEvent.objects.filter(action="oauth.reuse_detected").first()
    assert event.team_id == scene.application.team_id


def test_a_revoked_refresh_token_stays_dead(scene):
    """RFC 7009 §2.1, DOT #1816."""
    pair = scene.tokens()
    assert scene.post("revoke", {"token": pair["refresh_token"]}).status_code == 200
    assert scene.refresh(pair["refresh_token"]).json()["error"] == "invalid_grant"
    assert api(pair["access_token"]).status_code == 401


@pytest.mark.parametrize("scope", ["inference usage:read", "keys:write", "openid"])
def test_refreshing_widens_nothing(scene, scope):
    """RFC 6749 §6, DOT 3.3.0 #1692."""
    pair = scene.tokens(scope="inference")
    answer = scene.refresh(pair["refresh_token"], scope=scope)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert scene.refresh(pair["refresh_token"]).status_code == 200


def test_a_refresh_token_is_bound_to_its_application(scene):
    """RFC 6749 §10.4: another one neither uses nor ends it."""
    pair = scene.tokens()
    other = make_application(payer=scene.application.payer)
    assert scene.refresh(pair["refresh_token"], by=other).json()["error"] == "invalid_grant"
    spent = scene.refresh(pair["refresh_token"]).json()
    assert scene.refresh(pair["refresh_token"], by=other).json()["error"] == "invalid_grant"
    assert api(spent["access_token"]).status_code == 200


def test_an_idle_refresh_token_ends(scene):
    """RFC 9700 §4.14.2."""
    pair = scene.tokens()
    with time_machine.travel(clock.now() + timedelta(days=14, minutes=16)):
        assert scene.refresh(pair["refresh_token"]).json()["error"] == "invalid_grant"


def test_an_access_token_ends_after_a_quarter_of_an_hour(scene):
    pair = scene.tokens()
    with time_machine.travel(clock.now() + timedelta(seconds=901)):
        assert api(pair["access_token"]).status_code == 401
        assert scene.post("introspect", {"token": pair["access_token"]}).json() == {"active": False}


@pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
@pytest.mark.parametrize("hint", [None, "access_token", "refresh_token", "nonsense"])
def test_either_token_revokes_both(scene, kind, hint):
    """RFC 7009 §2.1: whatever the hint says; every process is told."""
    pair = scene.tokens()
    data = {"token": pair[kind]} | ({"token_type_hint": hint} if hint else {})
    answer = scene.post("revoke", data)
    assert (answer.status_code, answer.content) == (200, b"")
    assert api(pair["access_token"]).status_code == 401
    assert scene.refresh(pair["refresh_token"]).status_code == 400
    assert Announcement.objects.filter(
        topic="accounts.key", subject=digest(pair["access_token"])
    ).exists()
    assert AuditEvent.objects.filter(action="oauth.revoked").count() == 1


def test_revoking_tells_nobody_whether_a_token_exists(scene):
    """RFC 7009 §2.2, DOT #727: not another application's either."""
    pair = scene.tokens()
    other = make_application()
    for token in (pair["access_token"], pair["refresh_token"], "cvo_made-up"):
        answer = scene.post("revoke", {"token": token}, by=other)
        assert (answer.status_code, answer.content) == (200, b"")
    assert api(pair["access_token"]).status_code == 200
    assert scene.refresh(pair["refresh_token"]).status_code == 200
    assert not AuditEvent.objects.filter(action="oauth.revoked").exists()


def test_revoking_asks_who_it_is(scene):
    """RFC 7009 §2.1, RFC 6749 §3.2.1."""
    pair = scene.tokens()
    stranger = type(scene.issued)(scene.application, None)
    answer = scene.post("revoke", {"token": pair["access_token"]}, by=stranger)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert scene.post("revoke", {}).json()["error"] == "invalid_request"
    assert Browser().get("/oauth/revoke", {"token": pair["access_token"]}).status_code == 405
    assert api(pair["access_token"]).status_code == 200


def test_introspection_tells_of_own_tokens(scene):
    """RFC 7662 §2.2."""
    pair = scene.tokens()
    known = scene.post("introspect", {"token": pair["access_token"]}).json()
    exp = known.pop("exp")
    assert 890 < exp - known.pop("iat") <= 901
    assert known == {
        "active": True,
        "scope": "inference",
        "client_id": scene.application.client_id,
        "token_type": "Bearer",
        "aud": ["http://testserver"],
        "iss": "http://testserver",
        "sub": str(scene.user.pk),
        "username": scene.user.username,
    }
    refresh = scene.post("introspect", {"token": pair["refresh_token"]}).json()
    assert (refresh["active"], refresh["token_type"]) == (True, "refresh_token")
    same_team = make_application(payer=scene.application.payer)
    assert scene.post("introspect", {"token": pair["access_token"]}, by=same_team).json()["active"]


def test_introspection_of_what_is_none_of_the_team(scene):
    """RFC 7662 §4; S12: of another tenant's token the same answer as of none."""
    pair = scene.tokens()
    foreign = make_application()
    for token in (*pair.values(), "cvo_made-up"):
        if isinstance(token, str):
            answer = scene.post("introspect", {"token": token}, by=foreign)
            assert (answer.status_code, answer.json()) == (200, {"active": False})


def test_introspection_asks_who_it_is(scene):
    """RFC 7662 §2.1: a secret, in a POST; neither a public application nor a token will do."""
    token = scene.tokens()["access_token"]
    public = make_application(client_type="public", payer=scene.application.payer)
    assert scene.post("introspect", {"token": token}, by=public).status_code == 401
    device = {"token": token, "grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
    assert scene.post("introspect", device, by=public).status_code == 401
    browser = Browser()
    bearer = browser.post(
        "/oauth/introspect", {"token": token}, headers={"authorization": f"Bearer {token}"}
    )
    assert bearer.status_code == 401
    assert bearer.headers["www-authenticate"].startswith("Basic")
    assert browser.get("/oauth/introspect", {"token": token}).status_code == 405
    assert scene.post("introspect", {}).json()["error"] == "invalid_request"


def test_two_refreshes_at_the_same_time_give_one_pair(scene):
    """What both had read before either wrote: the second is a reuse (RFC 9700 §4.14.2)."""
    from unittest.mock import patch

    from apps.oauth.validator import Validator

    pair = scene.tokens()
    known = Validator.validate_refresh_token
    nested = []

    def overtaken(self, token, client, request, *args, **kwargs):
        is_right = known(self, token, client, request, *args, **kwargs)
        if not nested:
            nested.append(None)
            nested[0] = scene.refresh(token)
        return is_right

    with patch.object(Validator, "validate_refresh_token", overtaken):
        late = scene.refresh(pair["refresh_token"])
    assert nested[0].status_code == 200
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")
    assert RefreshToken.objects.filter(revoked=None).count() == 0
    assert AccessToken.objects.count() == 0


def test_what_a_person_allowed_is_listed_and_stopped(scene):
    pair = scene.tokens()
    page = scene.browser.get("/oauth/allowed").content.decode()
    assert scene.application.name in page
    assert "Call models" in page
    stranger = make_scene()
    answer = stranger.browser.post("/oauth/allowed", {"application": scene.application.pk})
    assert answer.status_code == 404
    assert scene.browser.post("/oauth/allowed", {"application": "x"}).status_code == 404
    scene.browser.post("/oauth/allowed", {"application": scene.application.pk})
    assert api(pair["access_token"]).status_code == 401
    assert scene.refresh(pair["refresh_token"]).status_code == 400
    assert "No application acts for you" in scene.browser.get("/oauth/allowed").content.decode()


def test_ending_an_application_ends_its_tokens(scene):
    pair = scene.tokens()
    number = scene.application.pk
    services.end_application(application=scene.application)
    assert api(pair["access_token"]).status_code == 401
    said = Announcement.objects.filter(topic="accounts.holder", subject=f"application:{number}")
    assert said.exists()
    assert AuditEvent.objects.filter(action="oauth.application_ended").exists()


def test_a_new_secret_replaces_the_old_one(scene):
    code = scene.code()
    made = services.rotate_secret(application=scene.application)
    assert scene.exchange(code).status_code == 401
    assert scene.exchange(code, by=made).status_code == 200
    assert made.secret.reveal() not in str(list(AuditEvent.objects.values()))
