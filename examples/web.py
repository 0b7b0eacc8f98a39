"""A small web application that signs people in with ChatVault and chats for them.

Authlib does OAuth (authorization code with PKCE), the `openai` package chats; both as they are
published. The address and the application's id and secret come from the environment: see README.md.
"""

from __future__ import annotations

import argparse
import html
import os
import secrets
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openai
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

COOKIE = "example_session"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sample application</title>
<link rel="icon" href="data:,"><style>:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui; max-width: 40rem; margin: 3rem auto; padding: 0 1rem }}</style>
<h1>Sample application</h1>{body}</html>"""


class Settings:
    """From the environment and the command line."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.issuer = os.environ["CHATVAULT_URL"].rstrip("/")
        self.api = os.environ.get("CHATVAULT_API_URL", f"{self.issuer}/v1")
        self.client_id = os.environ["CLIENT_ID"]
        self.client_secret = os.environ.get("CLIENT_SECRET") or None
        self.scope, self.model = arguments.scope, arguments.model
        found = requests.get(f"{self.issuer}/.well-known/openid-configuration", timeout=10)
        found.raise_for_status()
        self.metadata: dict[str, Any] = found.json()
        if self.metadata["issuer"] != self.issuer:  # RFC 8414 §3.3
            raise SystemExit(f"CHATVAULT_URL should be {self.metadata['issuer']}.")


class Visitor:
    """What is known of one browser: kept in memory, on the server; the browser has a number."""

    def __init__(self) -> None:
        self.state = self.verifier = self.who = ""
        self.token: dict[str, Any] | None = None


class Handler(BaseHTTPRequestHandler):
    settings: Settings
    visitors: dict[str, Visitor]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        pages = {"/": self.home, "/sign-in": self.sign_in, "/callback": self.callback}
        pages.get(path, self.missing)()

    def do_POST(self) -> None:
        visitor = self.visitor()  # cookies are SameSite: no other site's form brings one
        actions = {"/chat": self.chat, "/refresh": self.refresh}
        if visitor is None or visitor.token is None:
            return self.go("/")
        try:
            actions.get(self.path, self.missing)()
        except OAuthError as error:  # the application was stopped, or its tokens were
            visitor.token = None
            self.refused(error.error, error.description or "")
        return None

    def home(self) -> None:
        visitor = self.visitor()
        if visitor is None or visitor.token is None:
            return self.show("<p><a href=/sign-in>Sign in with ChatVault</a></p>")
        return self.show_signed_in(visitor)

    def sign_in(self) -> None:
        number, visitor = secrets.token_urlsafe(32), Visitor()
        visitor.verifier = secrets.token_urlsafe(48)
        url, visitor.state = self.session().create_authorization_url(
            self.settings.metadata["authorization_endpoint"], code_verifier=visitor.verifier
        )
        self.visitors[number] = visitor
        self.go(url, {"Set-Cookie": f"{COOKIE}={number}; HttpOnly; SameSite=Lax; Path=/"})

    def callback(self) -> None:
        visitor = self.visitor()
        query = {name: found[0] for name, found in parse_qs(urlsplit(self.path).query).items()}
        is_mine = visitor is not None and secrets.compare_digest(
            visitor.state.encode(), query.get("state", "").encode()
        )
        if visitor is None or not is_mine or query.get("iss") != self.settings.issuer:
            return self.show("<p id=error>This answer is not for you.</p>", 400)
        if "error" in query:  # not allowed, most of the time (RFC 6749 §4.1.2.1)
            return self.refused(query["error"], query.get("error_description", ""))
        try:
            session = self.session(state=visitor.state)
            visitor.token = session.fetch_token(
                self.settings.metadata["token_endpoint"],
                authorization_response=self.origin() + self.path,
                code_verifier=visitor.verifier,
            )
            if "openid" in visitor.token["scope"].split():
                found = session.get(self.settings.metadata["userinfo_endpoint"])
                found.raise_for_status()
                visitor.who = found.json().get("name") or found.json()["sub"]
        except OAuthError as error:
            return self.refused(error.error, error.description or "")
        return self.go("/")

    def chat(self) -> None:
        visitor = self.signed_in()
        length = min(int(self.headers.get("Content-Length") or 0), 100_000)
        asked = parse_qs(self.rfile.read(length).decode()).get("text", [""])[0]
        session = self.session(token=visitor.token)
        session.ensure_active_token(visitor.token)  # a new one when this one is about to end
        visitor.token = session.token
        client = openai.OpenAI(base_url=self.settings.api, api_key=visitor.token["access_token"])
        try:
            answer = client.chat.completions.create(
                model=self.settings.model, messages=[{"role": "user", "content": asked}]
            )
        except openai.APIError as error:
            return self.show(f"<p id=error>{html.escape(error.message)}</p>")
        said = html.escape(answer.choices[0].message.content or "")
        return self.show_signed_in(visitor, f"<h2>Answer</h2><p id=answer>{said}</p>")

    def refresh(self) -> None:
        """A refresh token works once: keep the one that comes with the answer."""
        visitor = self.signed_in()
        session = self.session(token=visitor.token)
        visitor.token = session.refresh_token(self.settings.metadata["token_endpoint"])
        self.show_signed_in(visitor, "<p id=refreshed>The token was refreshed.</p>")

    def missing(self) -> None:
        self.show("<p>There is no such page.</p>", 404)

    def session(self, **more: Any) -> OAuth2Session:
        return OAuth2Session(
            self.settings.client_id,
            self.settings.client_secret,
            scope=self.settings.scope,
            redirect_uri=f"{self.origin()}/callback",
            code_challenge_method="S256",
            token_endpoint=self.settings.metadata["token_endpoint"],
            token_endpoint_auth_method=(
                "client_secret_basic" if self.settings.client_secret else "none"
            ),
            **more,
        )

    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def visitor(self) -> Visitor | None:
        found = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        return self.visitors.get(found.value) if found else None

    def signed_in(self) -> Visitor:
        visitor = self.visitor()
        assert visitor is not None and visitor.token is not None  # do_POST has looked
        return visitor

    def refused(self, error: str, description: str) -> None:
        text = html.escape(f"{error} {description}")
        self.show(f"<p id=error>{text}</p><p><a href=/>Start again</a></p>")

    def show_signed_in(self, visitor: Visitor, more: str = "") -> None:
        self.show(
            f"<p id=who>Signed in as {html.escape(visitor.who or 'somebody')}.</p>"
            f"<p>The token may: <span id=scope>{html.escape(visitor.token['scope'])}</span></p>"
            "<form method=post action=/chat><input name=text aria-label=Message required> "
            "<button>Send</button></form>"
            f"<form method=post action=/refresh><p><button>Refresh the token</button></form>{more}"
        )

    def show(self, body: str, status: int = 200) -> None:
        content = PAGE.format(body=body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def go(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(303)
        for name, value in ({"Location": url, "Content-Length": "0"} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Addresses hold codes: nothing is logged."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8765, help="0: any that is free")
    parser.add_argument("--model", default="demo", help="alias to chat with")
    parser.add_argument("--scope", default="openid profile inference")
    Handler.settings, Handler.visitors = Settings(parser.parse_args()), {}
    server = ThreadingHTTPServer(("127.0.0.1", parser.parse_args().port), Handler)
    print(f"Open http://127.0.0.1:{server.server_address[1]}/", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
