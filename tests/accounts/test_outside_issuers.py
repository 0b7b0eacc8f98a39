"""An identity provider over loopback that the test runs: discovery, keys, and how it misbehaves."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import get_default_algorithms
from rest_framework.test import APIClient

from apps.accounts import outside_issuers, signing
from apps.accounts.models import IssuerRule, TrustedIssuer
from apps.configuration.models import Announcement
from chatvault.lib.guarded_fetch import FetchFailed, fetch
from tests.factories.accounts import make_client

pytestmark = pytest.mark.django_db


class Provider:
    """Its answers by path; a tuple is a status, a body and headers."""

    def __init__(self) -> None:
        provider = self
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.drip_s = 0.0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                status, body, headers = provider.answers.get(self.path, (404, b"{}", {}))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for at in range(0, len(body), 16 if provider.drip_s else 2**20):
                        self.wfile.write(body[at : at + (16 if provider.drip_s else 2**20)])
                        time.sleep(provider.drip_s)
                except OSError:
                    return

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys: dict[str, Any] = {}
        self.say("/.well-known/openid-configuration", self.discovery())
        self.add_key("k1")

    def discovery(self, **changes: Any) -> dict[str, Any]:
        return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **changes}

    def say(self, path: str, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.answers[path] = (status, body, headers)

    def add_key(self, kid: str) -> None:
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())
        self.say("/keys", {"keys": [self.jwk(one) for one in self.keys]})

    def jwk(self, kid: str) -> dict[str, Any]:
        public = get_default_algorithms()["ES256"].to_jwk(self.keys[kid].public_key())
        return {**json.loads(public), "kid": kid, "use": "sig"}

    def token(self, kid: str = "k1", **changes: Any) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "chatvault", "sub": "s1", "iat": now, "exp": now + 60}
        return jwt.encode({**claims, **changes}, self.keys[kid], "ES256", headers={"kid": kid})


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
def allowed(settings, provider, monkeypatch):
    tokens = settings.CHATVAULT.tokens.model_copy(
        update={"private_hosts": (f"127.0.0.1:{provider.port}",)}
    )
    monkeypatch.setattr(type(settings.CHATVAULT), "tokens", tokens, raising=False)
    return tokens


@pytest.fixture
def issuer(provider, allowed):
    row = TrustedIssuer.objects.create(name="id", issuer=provider.url, audiences=["chatvault"])
    client = make_client(name="batch")
    rule = {"issuer": row, "client": client, "scopes": ["inference", "usage:read"]}
    IssuerRule.objects.create(claim="realm.groups", value="research", **rule)
    return row


def asked(token: str) -> Any:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client.get("/api/v1/auth/token/verify")


def test_keys_are_found_by_discovery_and_a_rule_names_the_client(provider, issuer):
    assert outside_issuers.fetch_keys(issuer)
    answer = asked(provider.token(realm={"groups": ["staff", "research"]}))
    assert answer.status_code == 200
    assert answer.json()["scopes"] == ["inference", "usage:read"]
    assert answer.json()["client_id"] == IssuerRule.objects.get().client_id
    assert Announcement.objects.filter(topic=signing.TOPIC).exists()


@pytest.mark.parametrize(
    "claims", [{}, {"realm": {"groups": ["staff"]}}, {"realm": "research"}, {"realm": None}]
)
def test_without_a_rule_that_fits_nobody_is_known(provider, issuer, claims):
    outside_issuers.fetch_keys(issuer)
    assert asked(provider.token(**claims)).status_code == 401


def test_an_unknown_key_is_asked_for_once_in_a_while(provider, issuer, settings):
    claims = {"realm": {"groups": ["research"]}}
    assert asked(provider.token(**claims)).status_code == 200  # never fetched before
    provider.add_key("k2")
    asked_before = provider.asked.count("/keys")
    assert asked(provider.token("k2", **claims)).status_code == 401  # within the cooldown
    assert provider.asked.count("/keys") == asked_before
    TrustedIssuer.objects.update(fetched_at=None)
    assert asked(provider.token("k2", **claims)).status_code == 200
    assert provider.asked.count("/keys") == asked_before + 1


def test_a_withdrawn_key_is_refused_after_the_next_fetch(provider, issuer):
    claims = {"realm": {"groups": ["research"]}}
    outside_issuers.fetch_keys(issuer)
    token = provider.token(**claims)
    provider.add_key("k2")
    provider.say("/keys", {"keys": [provider.jwk("k2")]})
    assert outside_issuers.fetch_keys(issuer)
    assert asked(token).status_code == 401


@pytest.mark.parametrize(
    ("path", "answer", "told"),
    [
        ("/.well-known/openid-configuration", (404, b"", {}), "status 404"),
        ("/.well-known/openid-configuration", (200, b"<html>", {}), "not a JSON object"),
        ("/.well-known/openid-configuration", (200, b"[]", {}), "not a JSON object"),
        (
            "/.well-known/openid-configuration",
            (200, b'{"issuer":"https://evil.example","jwks_uri":"x"}', {}),
            "names another issuer",
        ),
        (
            "/.well-known/openid-configuration",
            (302, b"", {"Location": "http://169.254.169.254/latest/meta-data"}),
            "redirects",
        ),
        ("/keys", (301, b"", {"Location": "http://127.0.0.1:1/keys"}), "redirects"),
        ("/keys", (200, b'{"keys":[]}', {}), "none that ChatVault can use"),
        ("/keys", (200, b'{"keys":"all"}', {}), "something else"),
        ("/keys", (200, b'{"keys":[{"kty":"oct","k":"AAAA","kid":"k1"}]}', {}), "none that"),
        ("/keys", (200, b'{"keys":[{"kty":"EC","crv":"P-256","kid":"k1"}]}', {}), "none that"),
        ("/keys", (200, b"x" * 600_000, {}), "larger than 512 KiB"),
    ],
)
def test_an_issuer_that_misbehaves_changes_nothing(provider, issuer, path, answer, told):
    outside_issuers.fetch_keys(issuer)
    before = issuer.jwks
    provider.answers[path] = answer
    with pytest.raises(FetchFailed, match=told):
        outside_issuers.fetch_keys(issuer)
    issuer.refresh_from_db()
    assert issuer.jwks == before
    assert told in issuer.fetch_problem


def test_the_address_of_keys_is_judged_too(provider, issuer):
    provider.say(
        "/.well-known/openid-configuration",
        provider.discovery(jwks_uri="http://169.254.169.254/keys"),
    )
    with pytest.raises(FetchFailed):
        outside_issuers.fetch_keys(issuer)
    assert provider.asked == ["/.well-known/openid-configuration"]


def test_a_private_issuer_that_no_operator_listed_is_not_asked(provider):
    row = TrustedIssuer.objects.create(name="id", issuer=provider.url, audiences=["chatvault"])
    with pytest.raises(FetchFailed):
        outside_issuers.fetch_keys(row)
    assert provider.asked == []


def test_a_slow_drip_does_not_outlive_the_deadline(provider):
    provider.say("/slow", b"x" * 4096)
    provider.drip_s = 0.05
    began = time.monotonic()
    with pytest.raises(FetchFailed, match="did not answer within"):
        fetch(f"{provider.url}/slow", private_hosts=(f"127.0.0.1:{provider.port}",), timeout_s=0.4)
    assert time.monotonic() - began < 3


def test_an_issuer_cannot_speak_for_another_one(provider, issuer):
    outside_issuers.fetch_keys(issuer)
    forged = provider.token(iss="chatvault", sub="user:1", sid="0" * 32, token_type="access")
    assert asked(forged).status_code == 401
