"""Discovery (RFC 8414, RFC 9728, OIDC Discovery) and who somebody is (OIDC Core)."""

from __future__ import annotations

import jwt
import pytest
from django.core.management import call_command
from django.test import Client as Browser
from django.urls import resolve

from apps.accounts import signing
from apps.accounts.roles import MACHINE_SCOPES
from apps.oauth.models import IDToken
from chatvault.settings.oauth import OAuthSettings
from tests.oauth.kit import api, make_scene

pytestmark = pytest.mark.django_db


def read(path):
    answer = Browser().get(path)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    return answer.json()


def test_the_server_tells_of_itself():
    """RFC 8414 §2, §3.2, §3.3."""
    told = read("/.well-known/oauth-authorization-server")
    assert told["issuer"] == "http://testserver"
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["response_types_supported"] == ["code"]
    assert told["authorization_response_iss_parameter_supported"] is True  # RFC 9207 §3
    assert not {"implicit", "password"} & set(told["grant_types_supported"])
    assert set(told["scopes_supported"]) == MACHINE_SCOPES | {"openid", "profile", "email"}
    endpoints = [name for name in told if name.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) == 7
    for name in endpoints:
        assert resolve(told[name].removeprefix("http://testserver"))


def test_openid_discovery_is_the_same_and_more():
    """OIDC Discovery §3, §4.3."""
    told = read("/.well-known/openid-configuration")
    assert read("/.well-known/oauth-authorization-server").items() <= told.items()
    for name in (
        "issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "subject_types_supported",
        "response_types_supported", "id_token_signing_alg_values_supported", "userinfo_endpoint",
    ):  # fmt: skip
        assert told[name]
    assert "none" not in told["id_token_signing_alg_values_supported"]
    assert "HS256" not in told["id_token_signing_alg_values_supported"]


def test_the_resource_names_its_server():
    """RFC 9728 §2, §3.3."""
    told = read("/.well-known/oauth-protected-resource")
    assert told["resource"] == "http://testserver"
    assert told["authorization_servers"] == ["http://testserver"]
    assert told["bearer_methods_supported"] == ["header"]
    part = read("/.well-known/oauth-protected-resource/v1")
    assert part["resource"] == "http://testserver/v1"


def test_a_set_issuer_is_told_everywhere(settings):
    from dataclasses import replace

    oauth = OAuthSettings(issuer="https://gateway.example.com")
    settings.CHATVAULT = replace(settings.CHATVAULT, oauth=oauth)
    told = read("/.well-known/openid-configuration")
    assert told["issuer"] == "https://gateway.example.com"
    assert told["token_endpoint"] == "https://gateway.example.com/oauth/token"


@pytest.mark.parametrize(
    "value", ["http://gateway.example.com", "https://g.example/path", "https://u@g.example", "g"]
)
def test_an_issuer_is_a_safe_origin(value):
    from chatvault.refusal import Refusal

    with pytest.raises(Refusal, match="CHATVAULT_OAUTH_ISSUER"):
        OAuthSettings(issuer=value)


@pytest.fixture
def scene():
    return make_scene(scopes=["inference", "openid", "profile", "email"])


def test_an_id_token_says_who_signed_in(scene):
    """OIDC Core §2, §3.1.3.3, §3.1.3.7: checked as a library checks it, by the JWKS."""
    pair = scene.tokens(scope="openid profile inference", nonce="n-0S6_WzA2Mj")
    keys = jwt.PyJWKSet.from_dict(read("/.well-known/jwks.json"))
    header = jwt.get_unverified_header(pair["id_token"])
    claims = jwt.decode(
        pair["id_token"],
        keys[header["kid"]],
        algorithms=[header["alg"]],
        audience=scene.application.client_id,
        issuer="http://testserver",
        options={"require": ["exp", "iat", "sub", "aud", "iss", "auth_time"]},
    )
    assert claims["sub"] == str(scene.user.pk)
    assert claims["nonce"] == "n-0S6_WzA2Mj"
    assert claims["name"] == "Anna Berg"
    assert "email" not in claims
    assert claims["exp"] - claims["iat"] <= 901
    assert IDToken.objects.count() == 0


def test_userinfo_tells_what_was_allowed(scene):
    """OIDC Core §5.3, §5.4."""
    token = scene.tokens(scope="openid email")["access_token"]
    answer = Browser().get("/oauth/userinfo", headers={"authorization": f"Bearer {token}"})
    assert answer.json() == {"sub": str(scene.user.pk), "email": "anna@example.org"}
    without = scene.tokens(scope="inference")["access_token"]
    refused = Browser().get("/oauth/userinfo", headers={"authorization": f"Bearer {without}"})
    assert refused.status_code == 401
    nobody = Browser().get("/oauth/userinfo")
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    scene.user.is_active = False
    scene.user.save()
    gone = Browser().get("/oauth/userinfo", headers={"authorization": f"Bearer {token}"})
    assert gone.status_code == 401


def test_an_id_token_opens_nothing(scene):
    """RFC 8725 §3.12: it is no access token, neither here nor at the API."""
    pair = scene.tokens(scope="openid inference")
    shown = {"authorization": f"Bearer {pair['id_token']}"}
    assert api(pair["id_token"]).status_code == 401
    assert Browser().get("/oauth/userinfo", headers=shown).status_code == 401


def test_identity_alone_is_no_power(scene):
    pair = scene.tokens(scope="openid")
    assert api(pair["access_token"]).json()["scopes"] == []


def test_keys_rotate_and_old_id_tokens_stay_good(scene):
    pair = scene.tokens(scope="openid inference")
    signing.rotate_signing_keys()
    keys = jwt.PyJWKSet.from_dict(read("/.well-known/jwks.json"))
    old = jwt.get_unverified_header(pair["id_token"])["kid"]
    later = scene.refresh(pair["refresh_token"]).json()
    new = jwt.get_unverified_header(later["id_token"])["kid"]
    assert old != new
    assert {old, new} <= {key.key_id for key in keys.keys}
    claims = jwt.decode(
        later["id_token"], keys[new], algorithms=["ES256"], audience=scene.application.client_id
    )
    assert "nonce" not in claims


def test_the_deployment_check_has_nothing_to_say(capsys):
    """S12: every gate of RFC 9700 is closed."""
    from django.conf import settings
    from oauth2_provider import checks

    assert checks.validate_bcp_configuration(None) == []
    gates = [value for name, value in settings.OAUTH2_PROVIDER.items() if "RFC9700" in name]
    assert gates == [True] * 10
    call_command("check", "--tag", "models")
