"""Authorization code with PKCE: OAuth 2.1, RFC 6749, RFC 7636, RFC 9700, RFC 9207, RFC 8707."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.conf import settings
from django.shortcuts import resolve_url

from apps.accounts.models import Membership
from apps.audit.models import AuditEvent
from apps.configuration.models import Announcement
from apps.oauth.generators import digest
from apps.oauth.models import AccessToken, Grant, RefreshToken
from chatvault.lib import clock
from tests.factories.oauth import make_application
from tests.oauth.kit import REDIRECT, api, make_scene, query_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene():
    return make_scene()


def test_a_person_allows_and_the_application_gets_a_pair(scene):
    """OAuth 2.1 §4.1: the whole way, and what is answered."""
    page = scene.ask()
    assert page.status_code == 200
    text = page.content.decode()
    for shown in (scene.application.name, scene.application.payer.name, "Call models", REDIRECT):
        assert shown in text
    back = scene.decide()
    assert back.status_code == 303  # RFC 9700 §4.12
    query = query_of(back)
    assert query["state"] == "s t&te"
    assert query["iss"] == "http://testserver"  # RFC 9207 §2
    answer = scene.exchange(query["code"])
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"  # RFC 6749 §5.1
    pair = answer.json()
    assert pair["token_type"] == "Bearer"
    assert pair["expires_in"] == 900
    assert pair["scope"] == "inference"
    assert pair["access_token"].startswith("cvo_")
    assert pair["refresh_token"].startswith("cvr_")
    known = api(pair["access_token"]).json()
    assert (known["kind"], known["scopes"]) == ("oauth", ["inference"])
    assert known["client_id"] == scene.application.payer_id
    event = AuditEvent.objects.get(action="oauth.allowed")
    assert (event.actor, event.team_id) == (scene.user.username, scene.application.team_id)


def test_nothing_that_can_be_used_is_stored(scene):
    """RFC 9700 §4: codes, tokens and secrets are kept as digests, and a digest opens nothing."""
    code = scene.code()
    stored = Grant.objects.get().code
    assert stored == digest(code) != code
    assert scene.exchange(stored).status_code == 400
    pair = scene.exchange(code).json()
    access, refresh = AccessToken.objects.get(), RefreshToken.objects.get()
    assert (access.token, refresh.token) == ("", "")
    assert access.token_checksum == digest(pair["access_token"])
    assert api(access.token_checksum).status_code == 401
    assert scene.refresh(refresh.token_checksum).status_code == 400
    kept = scene.application.__class__.objects.get().client_secret
    assert kept.startswith("pbkdf2_sha256_once$")
    assert scene.post("token", {"grant_type": "client_credentials"}).status_code == 400
    for row in (access, refresh, Grant.objects.get(), scene.application):
        shown = f"{row} {row!r}"
        assert not any(one in shown for one in (code, *pair.values()) if isinstance(one, str))


NEAR_MISSES = [
    "https://app.example/cb/",
    "https://app.example/cb?x=1",
    "https://app.example/cb?",
    "https://app.example/cb#",
    "https://app.example/cb#f",
    "https://app.example/cb;p=1",
    "https://evil@app.example/cb",
    "https://app.example:444/cb",
    "https://app.example.evil.example/cb",
    "https://APP.example/CB",
    "http://app.example/cb",
    "https://app.example/cb/../cb",
    "https://app.example/%63b",
    "https://app.example\\@evil.example/cb",
    "//app.example/cb",
    "javascript:alert(1)",
    "https://app.example/cb\r\nx: y",
    "https://app.example/cb ",
]


@pytest.mark.parametrize("uri", NEAR_MISSES)
def test_a_redirect_that_almost_matches_leads_nowhere(scene, uri):
    """RFC 9700 §2.1, §4.1.3 and DOT 3.4.1: exact matching; nobody is sent to such an address."""
    for answer in (scene.ask(redirect_uri=uri), scene.decide(redirect_uri=uri)):
        assert answer.status_code == 400
        assert "Location" not in answer
    for decision in ("deny", "allow"):
        answer = scene.decide(decision, redirect_uri=uri)
        assert (answer.status_code, "Location" in answer) == (400, False)
    assert Grant.objects.count() == 0


def test_only_the_port_of_a_loopback_address_may_differ():
    """RFC 8252 §7.3, RFC 9700 §4.1.3."""
    scene = make_scene(redirect_uris="http://127.0.0.1:1234/cb http://localhost:1234/cb")
    assert scene.ask(redirect_uri="http://127.0.0.1:59999/cb").status_code == 200
    assert query_of(scene.decide(redirect_uri="http://127.0.0.1:59999/cb"))["code"]
    assert scene.ask(redirect_uri="http://localhost:1234/cb").status_code == 200
    for near in (
        "http://127.0.0.1:59999/other",
        "http://127.0.0.2:1234/cb",
        "http://localhost:59999/cb",
        "http://[::1]:1234/cb",
    ):
        assert scene.ask(redirect_uri=near).status_code == 400


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unauthorized_client"),
        ({"scope": "inference keys:write"}, "invalid_scope"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"resource": "https://other.example"}, "invalid_target"),
        ({"resource": "http://testserver.evil.example/"}, "invalid_target"),
        ({"resource": "http://testserver@evil.example/"}, "invalid_target"),
        ({"prompt": "none"}, "consent_required"),
        ({"prompt": "none", "scope": "openid"}, "consent_required"),
    ],
)
def test_wrong_requests_are_told_to_the_application(more, error):
    """PKCE with S256 alone (RFC 9700 §2.1.1), no implicit grant (§2.1.2), no wider scope
    (RFC 6749 §3.3), no foreign audience (RFC 8707 §2), no silent consent (OIDC Core §3.1.2.6);
    each with state and iss (RFC 9207 §2)."""
    scene = make_scene(scopes=["inference", "openid"])
    for answer in (scene.ask(**more), scene.decide(**more)):
        query = query_of(answer)
        assert query["error"] == error
        assert query["state"] == "s t&te"
        assert query["iss"] == "http://testserver"
        assert answer["Location"].startswith(REDIRECT + "?")
    assert Grant.objects.count() == 0


def test_nobody_is_asked_without_signing_in(scene):
    """DOT 3.4.0 #1719: prompt=none redirects to registered addresses alone."""
    scene.browser.logout()
    answer = scene.ask()
    assert answer.status_code == 302
    assert urlsplit(answer["Location"]).path == resolve_url(settings.LOGIN_URL)
    assert query_of(scene.ask(prompt="none"))["error"] == "login_required"
    evil = scene.ask(prompt="none", redirect_uri="https://evil.example/cb")
    assert (evil.status_code, "Location" in evil) == (400, False)
    unknown = scene.ask(prompt="none", client_id="nobody", redirect_uri="https://evil.example/cb")
    assert (unknown.status_code, "Location" in unknown) == (400, False)


def test_consent_is_never_skipped(scene):
    """S12: not by a parameter, not by an earlier consent, not by a field of the application."""
    scene.tokens()
    type(scene.application).objects.update(skip_authorization=True)
    for more in ({}, {"approval_prompt": "auto"}, {"prompt": "consent"}):
        assert scene.ask(**more).status_code == 200


def test_a_fresh_sign_in_can_be_asked_for(scene):
    """OIDC Core §3.1.2.1: prompt=login."""
    answer = scene.ask(prompt="login")
    assert urlsplit(answer["Location"]).path == resolve_url(settings.LOGIN_URL)
    assert "prompt" not in query_of(answer)["next"]
    assert "_auth_user_id" not in scene.browser.session


def test_a_refusal_is_told(scene):
    """RFC 6749 §4.1.2.1."""
    query = query_of(scene.decide("deny"))
    assert (query["error"], query["state"], query["iss"]) == (
        "access_denied",
        "s t&te",
        "http://testserver",
    )
    assert Grant.objects.count() == 0
    assert not AuditEvent.objects.filter(action="oauth.allowed").exists()


def test_the_page_cannot_be_framed_or_learnt_of(scene):
    """RFC 9700 §4.16 and §4.2.4."""
    page = scene.ask()
    assert page["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert "form-action 'self' https://app.example" in page["Content-Security-Policy"]
    assert page["Referrer-Policy"] == "same-origin"
    assert "<script" not in page.content.decode()
    assert "style=" not in page.content.decode()


def test_a_decision_needs_the_csrf_token(scene):
    """RFC 6749 §10.12."""
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(scene.user)
    scene.browser = strict
    assert scene.decide().status_code == 403
    assert Grant.objects.count() == 0


def test_nobody_gives_more_than_they_may_do():
    """S5: the scope is narrowed to the person's roles in the application's team, told before and
    in the token's answer (RFC 6749 §5.1)."""
    scene = make_scene(role="viewer", scopes=["inference", "usage:read"])
    page = scene.ask(scope="inference usage:read").content.decode()
    assert "does not get" in page
    assert scene.tokens(scope="inference usage:read")["scope"] == "usage:read"


def test_who_has_nothing_to_give_allows_nothing():
    scene = make_scene()
    Membership.objects.filter(user=scene.user).delete()
    page = scene.ask()
    assert page.status_code == 403
    assert 'value="allow"' not in page.content.decode()
    assert query_of(scene.decide())["error"] == "access_denied"


def test_a_role_that_was_lost_counts_at_exchange_refresh_and_use(scene):
    """S5: no grant exceeds the granter, at issue and at use."""
    pair = scene.tokens()
    code = scene.code()
    Membership.objects.filter(user=scene.user).update(role="viewer")
    assert api(pair["access_token"]).json()["scopes"] == []
    assert scene.exchange(code).json()["error"] == "invalid_grant"
    assert scene.refresh(pair["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_scope_that_the_application_lost_counts_at_use(scene):
    pair = scene.tokens()
    type(scene.application).objects.update(scopes=["usage:read"])
    assert api(pair["access_token"]).json()["scopes"] == []


def test_a_code_works_once_and_its_second_use_ends_what_came_from_it(scene):
    """RFC 6749 §4.1.2, RFC 9700 §4.5: also what was refreshed since."""
    code = scene.code()
    pair = scene.exchange(code).json()
    later = scene.refresh(pair["refresh_token"]).json()
    assert api(later["access_token"]).status_code == 200
    again = scene.exchange(code)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert api(later["access_token"]).status_code == 401
    assert scene.refresh(later["refresh_token"]).status_code == 400
    assert AuditEvent.objects.filter(action="oauth.reuse_detected").count() >= 1
    said = Announcement.objects.filter(topic="accounts.key").values_list("subject", flat=True)
    assert digest(later["access_token"]) in list(said)


def test_a_code_lives_for_a_minute(scene):
    """RFC 6749 §4.1.2; S12: at most 60 s."""
    code = scene.code()
    with time_machine.travel(clock.now() + timedelta(seconds=61)):
        assert scene.exchange(code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"code_verifier": None}, "invalid_request"),
        ({"code_verifier": "x" * 50}, "invalid_grant"),
        ({"redirect_uri": "https://app.example/other"}, "invalid_request"),
        ({"code": "made-up"}, "invalid_grant"),
        ({"resource": "https://other.example"}, "invalid_target"),
    ],
)
def test_a_code_needs_its_verifier_and_its_redirect(scene, more, error):
    """RFC 7636 §4.6, RFC 6749 §4.1.3, RFC 8707 §2.2."""
    answer = scene.exchange(**({"code": scene.code()} | more))
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert AccessToken.objects.count() == 0


def test_a_code_belongs_to_its_application(scene):
    """RFC 6749 §4.1.3: another application neither uses a code nor burns it."""
    code = scene.code()
    other = make_application()
    assert scene.exchange(code, by=other).json()["error"] == "invalid_grant"
    assert scene.exchange(code).status_code == 200


def test_a_confidential_application_shows_its_secret(scene):
    """RFC 6749 §3.2.1, §5.2; one method at a time (§2.3)."""
    code = scene.code()
    public = type(scene.issued)(scene.application, None)
    without = scene.exchange(code, by=public)
    assert (without.status_code, without.json()["error"]) == (401, "invalid_client")
    assert without.headers["www-authenticate"]
    assert scene.exchange(code, client_secret="x").status_code == 401
    assert scene.exchange(code).status_code == 200


def test_a_public_application_has_pkce_alone():
    """OAuth 2.1 §2.4: no secret, and none works."""
    scene = make_scene(client_type="public")
    assert scene.issued.secret is None
    code = scene.code()
    assert scene.exchange(code, client_secret="guess").status_code == 401
    assert scene.exchange(code).status_code == 200


@pytest.mark.parametrize("grant", ["password", "implicit", "urn:ietf:params:oauth:grant-type:jwt"])
def test_there_are_no_other_grants(scene, grant):
    """RFC 9700 §2.4, §2.1.2."""
    answer = scene.post("token", {"grant_type": grant, "username": "a", "password": "b"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


def test_tokens_in_addresses_are_not_taken(scene):
    """RFC 9700 §4.3.2."""
    token = scene.tokens(scope="inference")["access_token"]
    answer = scene.browser.get("/oauth/userinfo", {"access_token": token})
    assert answer.status_code == 401


def test_what_is_switched_off_is_refused(scene):
    """Application, client, team and person: at every endpoint."""
    pair = scene.tokens()
    for row, column in (
        (scene.application, "is_active"),
        (scene.application.payer, "is_active"),
        (scene.application.payer.team, "is_active"),
        (scene.user, "is_active"),
    ):
        code = scene.code()
        type(row).objects.filter(pk=row.pk).update(**{column: False})
        assert api(pair["access_token"]).status_code in (401, 403), row
        assert scene.exchange(code).status_code in (400, 401), row
        if row is not scene.user:
            assert scene.ask().status_code == 400, row
        type(row).objects.filter(pk=row.pk).update(**{column: True})
        scene.browser.force_login(scene.user)


def test_the_audience_is_kept(scene, settings):
    """RFC 8707: tokens for a service elsewhere do not call ChatVault."""
    from dataclasses import replace

    from chatvault.settings.oauth import OAuthSettings

    oauth = OAuthSettings(other_resources=("https://files.example/api",))
    settings.CHATVAULT = replace(settings.CHATVAULT, oauth=oauth)
    pair = scene.tokens(resource="https://files.example/api")
    assert AccessToken.objects.get().resource == ["https://files.example/api"]
    assert api(pair["access_token"]).status_code == 401
    known = scene.post("introspect", {"token": pair["access_token"]}).json()
    assert (known["active"], known["aud"]) == (True, ["https://files.example/api"])
    wider = scene.refresh(pair["refresh_token"], resource="http://testserver")
    assert wider.json()["error"] == "invalid_target"


def test_garbage_is_refused_in_words_and_never_breaks(scene):
    for junk in ("\x00", "'; DROP TABLE x; --", "%", "é" * 300, "a" * 5000):
        assert scene.ask(client_id=junk).status_code == 400
        assert scene.exchange(junk).status_code in (400, 401)
        assert scene.refresh(junk).status_code in (400, 401)
        answer = scene.browser.post("/oauth/token", {"client_id": junk, "grant_type": junk})
        assert answer.status_code in (400, 401)
        answer = scene.post("introspect", {"token": junk})
        assert answer.status_code == 400 if junk == "\x00" else answer.json() == {"active": False}
    for shown in ("%%%", "ADp4", "JTAwOng="):  # the last two are NUL and %00 as client id
        answer = scene.browser.post("/oauth/token", headers={"authorization": f"Basic {shown}"})
        assert answer.status_code in (400, 401)
