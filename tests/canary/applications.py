"""OAuth as applications use it, rightly and wrongly; what they are given are canaries."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.canary.marks import Canary, known, random_text
from tests.canary.site import Site, new_name

API = "/api/v1/oauth/applications"
BACK = "http://127.0.0.1/cb"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


def make(site: Site, owner: httpx2.Client, csrf: str, flow: str, kind: str) -> dict[str, Any]:
    """An application by the REST API; its secret is a canary from now on."""
    body = {"name": new_name(), "client": "seen", "flow": flow, "client_type": kind,
            "scopes": ["inference"]}  # fmt: skip
    if flow == "authorization-code":
        body["redirect_uris"] = [BACK]
    headers = {"x-csrftoken": csrf, "referer": f"{site.url}/"}
    answer = owner.post(API, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    if kind == "confidential":
        _mark(site, f"client secret, {flow}", told["client_secret"])
        site.keep("page of the application", owner.get(f"{API}/{told['id']}").content)
    return told


def act(site: Site, machine: httpx2.Client, told: dict[str, Any]) -> None:
    """A service: with its secret, with the secret in wrong places, and after giving back."""
    who = {"client_id": told["client_id"], "client_secret": told["client_secret"]}
    asked = {"grant_type": "client_credentials", "scope": "inference"}
    token = _given(site, machine, who | asked, "OAuth access token")
    for path in ("token", "authorize", "introspect", "device"):
        _keep(site, machine.get(f"/oauth/{path}", params=who | asked | {"token": token}))
    _keep(site, machine.post("/oauth/token", data=who | asked | {"scope": token}))
    _keep(site, machine.post("/oauth/token", data=who | {"client_id": who["client_secret"]}))
    for _ in range(2):
        for name in ("introspect", "revoke"):
            _keep(site, machine.post(f"/oauth/{name}", data=who | {"token": token}))
    bearer = {"authorization": f"Bearer {token}"}
    _keep(site, machine.get("/v1/models", headers=bearer, params={"access_token": token}))


def wait(site: Site, machine: httpx2.Client, told: dict[str, Any], other: str) -> None:
    """A device that nobody allowed, then another application with its code."""
    client = {"client_id": told["client_id"]}
    answer = machine.post("/oauth/device_authorization", data=client)
    assert answer.status_code == 200, answer.text
    code = answer.json()["device_code"]
    _mark(site, "device code", code)
    for given in (client, {"client_id": other}):
        asked = given | {"grant_type": DEVICE, "device_code": code}
        _keep(site, machine.post("/oauth/token", data=asked))
        _keep(site, machine.get("/oauth/token", params=asked))


def allow(site: Site, owner: httpx2.Client, told: dict[str, Any], form: Any) -> str:
    """The page on which people allow it, answered with yes: the code, "" if there is none."""
    site.marks["verifier"] = known("verifier", random_text(64))
    hashed = hashlib.sha256(site.secret("verifier").encode()).digest()
    page = owner.get("/oauth/authorize", params={
        "response_type": "code", "client_id": told["client_id"], "redirect_uri": BACK,
        "scope": "inference", "state": "s", "code_challenge_method": "S256",
        "code_challenge": base64.urlsafe_b64encode(hashed).decode().rstrip("="),
    })  # fmt: skip
    site.keep("page of allowing", page.content)
    data = form(page.text) | {"decision": "allow"}
    answer = owner.post(str(page.url), data=data, headers={"referer": str(page.url)},
                        follow_redirects=False)  # fmt: skip
    told_back = parse_qs(urlsplit(answer.headers.get("location", "")).query)
    assert "code" in told_back, (answer.status_code, answer.text[:500])
    _mark(site, "authorization code", told_back["code"][0])
    return told_back["code"][0]


def exchange(site: Site, machine: httpx2.Client, told: dict[str, Any], code: str) -> None:
    """The code and the refresh token, each of them twice."""
    who = {"client_id": told["client_id"], "client_secret": told["client_secret"]}
    asked = who | {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK,
                   "code_verifier": site.secret("verifier")}  # fmt: skip
    _keep(site, machine.get("/oauth/token", params=asked))
    answer = machine.post("/oauth/token", data=asked)
    assert answer.status_code == 200, answer.text
    _mark(site, "access token of a person", answer.json()["access_token"], prefix=4)
    refresh = answer.json()["refresh_token"]
    _mark(site, "OAuth refresh token", refresh, prefix=4)
    again = who | {"grant_type": "refresh_token", "refresh_token": refresh}
    for data in (again, again, asked):
        _keep(site, machine.post("/oauth/token", data=data))


def _given(site: Site, machine: httpx2.Client, data: dict[str, str], name: str) -> str:
    answer = machine.post("/oauth/token", data=data)
    assert answer.status_code == 200, answer.text
    token = str(answer.json()["access_token"])
    _mark(site, name, token, prefix=4)
    return token


def _mark(site: Site, name: str, text: str, *, prefix: int = 0) -> None:
    core = text[prefix : prefix + 43] if prefix else text
    site.marks[name] = Canary(name, text, core)


def _keep(site: Site, answer: httpx2.Response) -> None:
    if answer.status_code >= 400:
        site.keep(f"error {answer.status_code} of OAuth", answer.content)
