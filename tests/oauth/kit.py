"""A browser that is signed in, and applications that talk to the endpoints over HTTP."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.test import Client as Browser

from apps.accounts.models import User
from apps.oauth.models import Application
from apps.oauth.services import Issued
from tests.factories.accounts import make_client, make_membership, make_team, make_user
from tests.factories.oauth import make_application

REDIRECT = "https://app.example/cb"
DEVICE = Application.GRANT_DEVICE_CODE


def challenge_of(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def basic(issued: Issued, secret: str | None = None) -> str:
    shown = secret if secret is not None else issued.secret.reveal() if issued.secret else ""
    text = f"{issued.application.client_id}:{shown}"
    return "Basic " + base64.b64encode(text.encode()).decode()


@dataclass
class Scene:
    """A team with a member, and a confidential application of it."""

    user: User
    issued: Issued
    browser: Browser = field(default_factory=Browser)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def application(self) -> Application:
        return self.issued.application

    def query(self, **more: Any) -> dict[str, Any]:
        asked = {
            "client_id": self.application.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "scope": "inference",
            "state": "s t&te",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
        } | more
        return {name: value for name, value in asked.items() if value is not None}

    def ask(self, **more: Any) -> Any:
        return self.browser.get("/oauth/authorize", self.query(**more))

    def decide(self, decision: str = "allow", **more: Any) -> Any:
        url = "/oauth/authorize?" + urlencode(self.query(**more), doseq=True)
        return self.browser.post(url, {"decision": decision})

    def code(self, **more: Any) -> str:
        return query_of(self.decide(**more))["code"]

    def post(
        self, path: str, data: dict[str, Any], *, by: Issued | None = None, **more: Any
    ) -> Any:
        who = self.issued if by is None else by
        headers = {"authorization": basic(who)} if who.secret else {}
        if not who.secret:
            data = {"client_id": who.application.client_id, **data}
        return Browser().post(
            f"/oauth/{path}",
            urlencode(data, doseq=True),
            "application/x-www-form-urlencoded",
            headers=headers | more.pop("headers", {}),
            **more,
        )

    def exchange(self, code: str, **more: Any) -> Any:
        data = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": self.verifier,
        }
        by = more.pop("by", None)
        return self.post("token", {k: v for k, v in (data | more).items() if v is not None}, by=by)

    def refresh(self, token: str, **more: Any) -> Any:
        by = more.pop("by", None)
        data = {"grant_type": "refresh_token", "refresh_token": token, **more}
        return self.post("token", data, by=by)

    def tokens(self, **more: Any) -> dict[str, Any]:
        """A pair by the whole flow."""
        answer = self.exchange(self.code(**more))
        assert answer.status_code == 200, answer.content
        return answer.json()


def make_scene(role: str = "member", **fields: Any) -> Scene:
    team = make_team()
    user = make_user(first_name="Anna", last_name="Berg", email="anna@example.org")
    make_membership(team=team, user=user, role=role)
    fields.setdefault("payer", make_client(team=team))
    scene = Scene(user, make_application(**fields))
    scene.browser.force_login(user)
    return scene


def query_of(response: Any) -> dict[str, str]:
    """What a redirect carries back to the application, each value once."""
    assert response.status_code in (302, 303), response.content
    found = parse_qs(urlsplit(response["Location"]).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def api(token: str) -> Any:
    """What the management API says of a token."""
    return Browser().get("/api/v1/auth/token/verify", headers={"authorization": f"Bearer {token}"})
