"""Client credentials (RFC 6749 §4.4) and the device flow (RFC 8628)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.core.exceptions import ValidationError

from apps.audit.models import AuditEvent
from apps.oauth.models import AccessToken, DeviceGrant
from chatvault.lib import clock
from tests.factories.oauth import make_application
from tests.oauth.kit import DEVICE, api, make_scene

pytestmark = pytest.mark.django_db


def test_an_application_acts_for_itself():
    """RFC 6749 §4.4: no person, no refresh token."""
    scene = make_scene(authorization_grant_type="client-credentials")
    answer = scene.post("token", {"grant_type": "client_credentials", "scope": "inference"})
    assert answer.status_code == 200
    given = answer.json()
    assert "refresh_token" not in given
    assert given["scope"] == "inference"
    known = api(given["access_token"]).json()
    assert (known["kind"], known["client_id"]) == ("oauth", scene.application.payer_id)
    assert AccessToken.objects.get().user is None
    wide = scene.post("token", {"grant_type": "client_credentials", "scope": "keys:write"})
    assert wide.json()["error"] == "invalid_scope"
    identity = make_scene(
        authorization_grant_type="client-credentials", scopes=["inference", "openid"]
    )
    answer = identity.post("token", {"grant_type": "client_credentials", "scope": "openid"})
    assert answer.json()["error"] == "invalid_scope"


def test_only_confidential_applications_act_for_themselves():
    with pytest.raises(ValidationError, match="confidential"):
        make_application(authorization_grant_type="client-credentials", client_type="public")


def test_the_flow_of_an_application_is_the_only_one():
    """RFC 6749 §5.2 unauthorized_client."""
    scene = make_scene()
    answer = scene.post("token", {"grant_type": "client_credentials"})
    assert answer.json()["error"] == "unauthorized_client"
    assert scene.post("device_authorization", {
        "client_id": scene.application.client_id
    }).json()["error"] == "unauthorized_client"  # fmt: skip


@pytest.fixture
def scene():
    return make_scene(authorization_grant_type=DEVICE, client_type="public")


def begin(scene, **more):
    answer = scene.post("device_authorization", {"scope": "inference"} | more)
    assert answer.status_code == 200, answer.content
    return answer.json()


def poll(scene, codes, **more):
    data = {"grant_type": DEVICE, "device_code": codes["device_code"]}
    return scene.post("token", data, **more)


def enter(browser, code):
    return browser.post("/oauth/device", {"user_code": code})


def decide(browser, decision="allow"):
    return browser.post("/oauth/device/decide", {"decision": decision})


def test_a_device_is_allowed_on_another_screen(scene):
    """RFC 8628 §3.2 to §3.5."""
    codes = begin(scene)
    assert codes["verification_uri"] == "http://testserver/oauth/device"
    assert codes["verification_uri_complete"].endswith(codes["user_code"])
    assert (codes["expires_in"], codes["interval"]) == (600, 5)
    assert poll(scene, codes).json()["error"] == "authorization_pending"
    filled = scene.browser.get("/oauth/device", {"user_code": codes["user_code"]})
    assert codes["user_code"] in filled.content.decode()
    assert DeviceGrant.objects.get().status == DeviceGrant.AUTHORIZATION_PENDING  # §3.3.1
    typed = codes["user_code"].lower().replace("-", " ")
    assert enter(scene.browser, typed).status_code == 302
    page = scene.browser.get("/oauth/device/decide").content.decode()
    assert scene.application.name in page
    assert scene.application.payer.name in page
    assert decide(scene.browser).status_code == 200
    with time_machine.travel(clock.now() + timedelta(seconds=6)):
        answer = poll(scene, codes)
        assert answer.status_code == 200
        pair = answer.json()
        assert api(pair["access_token"]).json()["scopes"] == ["inference"]
        again = poll(scene, codes)
        assert again.json()["error"] == "invalid_grant"  # once
        assert scene.refresh(pair["refresh_token"]).status_code == 200
    assert AuditEvent.objects.get(action="oauth.device_allowed").actor == scene.user.username


def test_the_codes_are_not_stored(scene):
    codes = begin(scene)
    row = DeviceGrant.objects.get()
    assert codes["device_code"] not in str(vars(row))
    assert codes["user_code"].replace("-", "") not in str(vars(row))
    assert poll(scene, {"device_code": row.device_code}).json()["error"] == "invalid_grant"
    assert enter(scene.browser, row.user_code).status_code == 400


def test_an_impatient_device_is_slowed_down(scene):
    """RFC 8628 §3.5: five seconds more each time."""
    codes = begin(scene)
    assert poll(scene, codes).json()["error"] == "authorization_pending"
    assert poll(scene, codes).json()["error"] == "slow_down"
    assert DeviceGrant.objects.get().interval == 10


def test_a_refused_device_is_told(scene):
    codes = begin(scene)
    enter(scene.browser, codes["user_code"])
    decide(scene.browser, "deny")
    assert poll(scene, codes).json()["error"] == "access_denied"
    assert AuditEvent.objects.filter(action="oauth.device_denied").exists()


@pytest.mark.parametrize("is_allowed", [False, True])
def test_codes_end(scene, is_allowed):
    """RFC 8628 §3.5 expired_token, also after somebody allowed it."""
    codes = begin(scene)
    if is_allowed:
        enter(scene.browser, codes["user_code"])
        decide(scene.browser)
    with time_machine.travel(clock.now() + timedelta(seconds=601)):
        scene.browser.force_login(scene.user)
        assert enter(scene.browser, codes["user_code"]).status_code == 400
        assert poll(scene, codes).json()["error"] == "expired_token"


def test_a_device_code_belongs_to_its_application(scene):
    """RFC 8628 §3.4; who polls is known before anything is told."""
    codes = begin(scene)
    enter(scene.browser, codes["user_code"])
    decide(scene.browser)
    other = make_application(authorization_grant_type=DEVICE, client_type="public")
    assert poll(scene, codes, by=other).json()["error"] == "invalid_grant"
    confidential = make_application(authorization_grant_type=DEVICE)
    without = type(confidential)(confidential.application, None)
    assert poll(scene, codes, by=without).status_code == 401
    missing = scene.post("token", {"grant_type": DEVICE})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


def test_nobody_decides_on_a_code_that_they_did_not_enter(scene):
    """DOT #1819: the page of one person is not another one's, and a decision is final."""
    codes = begin(scene)
    enter(scene.browser, codes["user_code"])
    stranger = make_scene(payer=scene.application.payer)
    assert stranger.browser.get("/oauth/device/decide").status_code == 302
    assert decide(stranger.browser).status_code == 302
    assert DeviceGrant.objects.get().status == DeviceGrant.AUTHORIZATION_PENDING
    enter(stranger.browser, codes["user_code"])
    decide(scene.browser)
    assert decide(stranger.browser, "deny").status_code == 302
    row = DeviceGrant.objects.get()
    assert (row.status, row.user) == (DeviceGrant.AUTHORIZED, scene.user)


def test_a_person_of_another_team_gives_nothing(scene):
    """S5: with what roles the device acts is the person's, in the application's team."""
    codes = begin(scene)
    stranger = make_scene()
    enter(stranger.browser, codes["user_code"])
    assert stranger.browser.get("/oauth/device/decide").status_code == 403
    decide(stranger.browser)
    assert poll(scene, codes).json()["error"] == "access_denied"


@pytest.mark.parametrize("code", ["WWWW-WWWW", "", "'; --", "\x00", "%", "Ω" * 40])
def test_wrong_codes_are_refused_alike(scene, code):
    begin(scene)
    answer = enter(scene.browser, code)
    assert answer.status_code == 400
    assert DeviceGrant.objects.get().user is None


def test_guessing_codes_is_counted(scene):
    """RFC 8628 §5.1."""
    answers = [enter(scene.browser, "BBBB-BBBB").status_code for _ in range(12)]
    assert answers[:10] == [400] * 10
    assert answers[-1] == 429


@pytest.mark.parametrize("scope", ["inference keys:write", "nonsense"])
def test_a_device_asks_for_no_more_than_it_may(scene, scope):
    answer = scene.post("device_authorization", {"scope": scope})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert DeviceGrant.objects.count() == 0


def test_who_asks_for_codes_is_known(scene):
    """RFC 8628 §3.1, RFC 6749 §3.2.1."""
    confidential = make_application(authorization_grant_type=DEVICE)
    without = type(confidential)(confidential.application, None)
    assert scene.post("device_authorization", {}, by=without).status_code == 401
    data = {"client_id": confidential.application.client_id}
    assert scene.post("device_authorization", data, by=confidential).status_code == 200
    unknown = scene.post("device_authorization", {"client_id": "nobody"})
    assert unknown.status_code in (400, 401)
