"""What every answer of Django carries, what gets through to it, and what browsers report."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from chatvault.asgi_types import Message
from chatvault.defences import reports
from chatvault.defences.cors import open_to
from chatvault.defences.door import MOST_HEADERS, guarded
from chatvault.defences.headers import defended
from chatvault.lib import page_policy as policy
from chatvault.refusal import Refusal
from chatvault.settings.security import SecuritySettings
from scripts import write_theme
from tests.architecture.source import ROOT

MIB = 2**20


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/admin/login/", "text/html"),
        ("/nothing", "text/html"),
        ("/api/v1/nothing", ""),
        ("/api/schema/", "application/"),
        ("/api/docs/", "text/html"),
        ("/static/chatvault/favicon.svg", "image/svg"),
        ("/static/chatvault/page.js", "text/javascript"),
    ],
)
def test_every_answer_is_defended(client: Client, path: str, kind: str) -> None:
    answer = client.get(path)
    assert answer.headers["Content-Type"].startswith(kind)
    said = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in said and "frame-ancestors 'none'" in said
    assert "unsafe" not in said
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert path.startswith("/static/") or "no-store" in answer.headers["Cache-Control"]


def test_a_wrong_host_is_refused_with_the_same_headers(client: Client) -> None:
    answer = client.get("/admin/login/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert b"evil.example" not in answer.content


def test_a_form_may_lead_to_a_client_where_a_view_says_so() -> None:
    def consent(request: HttpRequest) -> HttpResponse:
        response = HttpResponse("<form>")
        policy.let_forms_lead_to(response, "https://app.example")
        return response

    answer = CSPMiddleware(defended(consent))(RequestFactory().get("/"))
    said = answer.headers["Content-Security-Policy"]
    assert "form-action 'self' https://app.example;" in said


def test_the_themes_colours_are_those_of_the_settings() -> None:
    assert write_theme.PATH.read_text(encoding="utf-8") == write_theme.theme()


# reports


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(reports, "_counts", type(reports._counts)())
    return reports._counts


def _report(**fields: str) -> str:
    return json.dumps(
        {"csp-report": {"document-uri": "http://testserver/admin/?q=secret", **fields}}
    )


def test_violations_are_counted_by_directive_and_told_without_what_is_private(
    client: Client, counted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = _report(**{
        "effective-directive": "script-src-elem",
        "blocked-uri": "https://user:secret@evil.example/x?token=secret",
        "script-sample": "secret",
    })  # fmt: skip
    assert (
        client.post("/csp-report", body, content_type="application/csp-report").status_code == 204
    )
    new = [
        {"type": "csp-violation", "body": {"effectiveDirective": "img-src\nforged"}},
        {"type": "x"},
    ]
    client.post("/csp-report", json.dumps(new), content_type="application/reports+json")
    assert counted == {"script-src-elem": 1, "other": 1}
    told = [record.__dict__ for record in caplog.records if "directive" in record.__dict__]
    assert (told[0]["page"], told[0]["blocked"]) == ("/admin/", "https://evil.example")
    assert "secret" not in str([(one["page"], one["blocked"], one["directive"]) for one in told])
    [(_, rows)] = reports.figures()
    assert rows == {("script-src-elem",): (1,), ("other",): (1,)}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 204),
        (b"{}", 400),
        (b"[" * 9_000, 400),
        (b"x" * 20_000, 413),
        (b"\xff", 400),
    ],
)
def test_what_is_no_report_counts_for_nothing(
    client: Client, counted: Any, body: bytes, status: int
) -> None:
    answer = client.post("/csp-report", body, content_type="application/csp-report")
    assert (answer.status_code, dict(counted)) == (status, {})
    assert client.get("/csp-report").status_code == 405


def test_reports_of_one_address_are_limited(client: Client, counted: Any) -> None:
    body = _report(**{"effective-directive": "img-src"})
    statuses = [client.post("/csp-report", body, content_type="x/y").status_code for _ in range(61)]
    assert statuses == [204] * 60 + [429]
    assert counted == {"img-src": 60}


# the door


def ask(
    path: str = "/admin/",
    headers: list[tuple[bytes, bytes]] | None = None,
    body: list[bytes] | None = None,
) -> tuple[list[Message], list[Any]]:
    """What the door answers, and the scopes and bodies that got through."""
    sent: list[Message] = []
    passed: list[Any] = []
    parts = [*(body or [b""])]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got, message = b"", await receive()
        while message["type"] == "http.request":
            got += message.get("body", b"")
            if not message.get("more_body"):
                passed.append((scope, got))
                await send({"type": "http.response.start", "status": 200, "headers": []})
                return
            message = await receive()

    async def receive() -> Message:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": headers or [(b"host", b"localhost")]}
    asyncio.run(guarded(app)(scope, receive, send))
    return sent, passed


def test_headers_with_underscores_do_not_get_through() -> None:
    spoofed = [(b"x_forwarded_for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2")]
    _, [(scope, _)] = ask(headers=spoofed)
    assert scope["headers"] == spoofed[1:]


@pytest.mark.parametrize(
    "headers",
    [[(b"x-%d" % number, b"1") for number in range(MOST_HEADERS + 1)], [(b"x-a", b"a" * 100_000)]],
)
def test_too_many_or_too_large_headers_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    sent, passed = ask(headers=headers)
    assert (sent[0]["status"], passed) == (400, [])


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    ("path", "starts"), [("/api/v1/teams/", b'{"error":{"message"'), ("/admin/", b"The body is")]
)
def test_a_body_above_the_cap_is_refused_while_it_comes(
    announced: bool, path: str, starts: bytes
) -> None:
    headers = [(b"content-length", b"%d" % (9 * MIB))] if announced else None
    sent, passed = ask(path, headers, [b"x" * MIB] * 9)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert (sent[0]["status"], passed) == (413, [])
    assert (b"connection", b"close") in sent[0]["headers"]
    assert sent[1]["body"].startswith(starts)
    assert ask(path, None, [b"x" * MIB] * 8)[1][0][1] == b"x" * 8 * MIB


# settings


@pytest.mark.parametrize("origin", ["*", "https://*.example", "app.example", "https://a.example/x"])
def test_an_origin_is_named_in_full(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATVAULT_CORS_ORIGINS", origin)
    with pytest.raises(Refusal, match="CORS_ORIGINS"):
        SecuritySettings()


def test_the_check_of_a_deployment_is_clean(tmp_path: Path) -> None:
    """As an operator runs it: behind a proxy that ends TLS, nothing left to say."""
    secret = os.urandom(32).hex()
    environment = {
        "PATH": os.environ["PATH"],
        "CHATVAULT_HOME": str(tmp_path),
        "HOST": "0.0.0.0",
        "CHATVAULT_SECRET_KEY": secret * 2,
        "CHATVAULT_KEY_PEPPER": secret,
        "CHATVAULT_VAULT_KEYS": "1:" + base64.b64encode(os.urandom(32)).decode(),
        "CHATVAULT_ALLOWED_HOSTS": "llm.example.org",
        "CHATVAULT_TRUSTED_PROXIES": "127.0.0.1",
        "CHATVAULT_HTTPS": "true",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_with_https_cookies_are_bound_to_the_host(tmp_path: Path) -> None:
    code = (
        "from chatvault import settings as s; print(s.SESSION_COOKIE_NAME, s.CSRF_COOKIE_NAME,"
        " s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT,"
        " s.SECURE_HSTS_SECONDS)"
    )
    environment = {"PATH": os.environ["PATH"], "CHATVAULT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment | {"CHATVAULT_HTTPS": "true"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [
        "__Host-sessionid", "__Host-csrftoken", "True", "True", "True", "31536000",
    ]  # fmt: skip


# pages of other sites


def call(method: str, *headers: tuple[bytes, bytes], path: str = "/v1/models") -> tuple[Any, Any]:
    """The answer's status and headers, and the headers that got through to the app."""
    sent: list[Message] = []
    passed: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["headers"])
        head = [(b"cross-origin-resource-policy", b"same-origin")]
        await send({"type": "http.response.start", "status": 200, "headers": head})

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": method, "headers": list(headers)}
    asyncio.run(open_to(app, ["https://app.example"])(scope, send, send))
    return (sent[0]["status"], dict(sent[0]["headers"])), passed


APP = (b"origin", b"https://app.example")


def test_a_page_that_is_named_may_ask_and_call() -> None:
    wish = (b"access-control-request-method", b"POST")
    names = (b"access-control-request-headers", b"authorization,x-stainless-os")
    (status, head), passed = call("OPTIONS", APP, wish, names)
    assert (status, passed) == (204, [])
    assert head[b"access-control-allow-origin"] == APP[1]
    assert head[b"access-control-allow-headers"] == names[1]
    (status, head), passed = call("POST", APP, (b"cookie", b"sessionid=1"), (b"x-a", b"1"))
    assert (status, passed) == (200, [[APP, (b"x-a", b"1")]])
    assert head[b"cross-origin-resource-policy"] == b"cross-origin"
    assert b"access-control-allow-credentials" not in head


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"https://app.example.evil"])
@pytest.mark.parametrize("method", ["OPTIONS", "POST"])
def test_a_page_that_is_not_named_is_told_nothing(origin: bytes, method: str) -> None:
    wish = (b"access-control-request-method", b"POST")
    (_, head), passed = call(method, (b"origin", origin), wish)
    assert not any(name.startswith(b"access-control") for name in head)
    assert len(passed) == 1


def test_the_admin_is_open_to_no_other_page() -> None:
    (_, head), passed = call("GET", APP, (b"cookie", b"sessionid=1"), path="/admin/")
    assert head == {b"cross-origin-resource-policy": b"same-origin"}
    assert passed == [[APP, (b"cookie", b"sessionid=1")]]
