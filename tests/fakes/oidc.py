"""An OpenID provider over loopback: discovery, authorize page, token, keys, userinfo.

It keeps the rules that a strict provider keeps (exact redirect URI, PKCE S256, codes that work
once, client authentication), and lies only where a test tells it to.
"""

from __future__ import annotations

import base64
import hashlib
import html
import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT_ID = "chatvault"
CLIENT_SECRET = "a secret: with/signs+"


@dataclass
class Person:
    sub: str = "248289761001"
    email: str = "ada@example.org"
    email_verified: bool = True
    name: str = "Ada Lovelace"
    preferred_username: str = "ada.l"
    more: dict[str, Any] = field(default_factory=dict)

    def claims(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in (
            "sub", "email", "email_verified", "name", "preferred_username"
        )}  # fmt: skip
        return {**own, **self.more}


class FakeOidc:
    """`change` may alter the claims before they are signed, `forge` makes the token itself."""

    def __init__(self) -> None:
        self.person = Person()
        self.redirect_uris: set[str] = set()
        self.change: Callable[[dict[str, Any]], None] = lambda claims: None
        self.forge: Callable[[dict[str, Any]], str] | None = None
        self.discovery: dict[str, Any] = {}
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.key = ec.generate_private_key(ec.SECP256R1())
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self, {})

            def do_POST(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                owner.answer(self, _one_each(self.rfile.read(size).decode()))

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def start(self) -> FakeOidc:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, path: str) -> list[dict[str, str]]:
        return [form for seen, form in self.seen if seen == path]

    def jwks(self) -> dict[str, Any]:
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**jwk, "kid": "k1", "alg": "ES256", "use": "sig"}]}

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": "k1"})

    def agree(self, url: str) -> str:
        """What a browser gets when the person agrees on the page at `url`: where it is sent."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        headers = {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", parts.path, parts.query, headers)
        answer = connection.getresponse()
        assert answer.status == 302, answer.read()
        connection.close()
        return answer.headers["location"]

    def answer(self, http_: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        parts = urlsplit(http_.path)
        self.seen.append((parts.path, form))
        if parts.path in self.answers:
            status, headers, body = self.answers[parts.path]
            _send(http_, status, body, headers)
            return
        find = {
            "/.well-known/openid-configuration": self._discovery,
            "/authorize": self._authorize,
            "/token": self._token,
            "/userinfo": self._userinfo,
            "/jwks": lambda *_: (200, {}, json.dumps(self.jwks()).encode()),
        }.get(parts.path)
        if find is None:
            _send(http_, 404, b"{}", {})
            return
        status, headers, body = find(http_, form or _one_each(parts.query))
        _send(http_, status, body, headers)

    def _discovery(self, *_: Any) -> tuple[int, dict[str, str], bytes]:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "code_challenge_methods_supported": ["S256"],
            "id_token_signing_alg_values_supported": ["ES256"],
            **self.discovery,
        }
        return 200, {}, json.dumps(found).encode()

    def _authorize(
        self, http_: BaseHTTPRequestHandler, asked: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        wrong = (
            asked.get("client_id") != CLIENT_ID
            or asked.get("redirect_uri") not in self.redirect_uris
            or asked.get("response_type") != "code"
            or asked.get("code_challenge_method") != "S256"
            or not asked.get("nonce")
            or "openid" not in asked.get("scope", "").split()
        )
        if wrong:
            return 400, {}, b'{"error": "invalid_request"}'
        if http_.command == "GET":
            fields = "".join(
                f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
                for name, value in asked.items()
            )
            text = (
                f'<form method="post">{fields}<button>Agree as {self.person.name}</button></form>'
            )
            return 200, {"content-type": "text/html"}, f"<title>OP</title>{text}".encode()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        query = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return 302, {"location": f"{asked['redirect_uri']}?{query}"}, b""

    def _token(
        self, http_: BaseHTTPRequestHandler, form: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        begun = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if _basic(http_.headers.get("authorization", "")) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {}, b'{"error": "invalid_client"}'
        if (
            begun is None
            or form.get("redirect_uri") != begun["redirect_uri"]
            or challenge != begun["code_challenge"]
        ):
            return 400, {}, b'{"error": "invalid_grant"}'
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300,
            "nonce": begun["nonce"], **self.person.claims(),
        }  # fmt: skip
        self.change(claims)
        token = secrets.token_urlsafe(16)
        self.tokens[token] = self.person.claims()
        made = (self.forge or self.sign)(claims)
        body = {"access_token": token, "token_type": "Bearer", "id_token": made}
        return 200, {}, json.dumps(body).encode()

    def _userinfo(
        self, http_: BaseHTTPRequestHandler, _: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        found = self.tokens.get(http_.headers.get("authorization", "").removeprefix("Bearer "))
        if found is None:
            return 401, {}, b"{}"
        return 200, {}, json.dumps(found).encode()


def _one_each(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}


def _basic(header: str) -> tuple[str, str] | None:
    if not header.startswith("Basic "):
        return None
    name, _, secret = base64.b64decode(header[6:]).decode().partition(":")
    return unquote(name), unquote(secret)


def _send(http_: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    http_.send_response(status)
    for name, value in {"content-type": "application/json", **headers}.items():
        http_.send_header(name, value)
    http_.send_header("content-length", str(len(body)))
    http_.end_headers()
    http_.wfile.write(body)
