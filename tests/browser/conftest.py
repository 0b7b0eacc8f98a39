"""A real Chromium on the real pages with their real files. What every page must keep: no error in
the console, no failed request, nothing asked of another host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, sync_playwright
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import User
from apps.billing import ledger_guard
from apps.sign_in.sessions import SessionStore
from chatvault.settings.upstream import UpstreamSettings
from tests.factories import make_user
from tests.fakes.upstream import FakeUpstream

PASSWORD = "correct horse battery staple"
_NAMES = (os.environ.get("CHATVAULT_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="package", autouse=True)
def _ledger_can_be_emptied(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """These tests empty their tables afterwards, which the ledger refuses."""
    with django_db_blocker.unblock():
        ledger_guard.remove(connection)
    yield
    with django_db_blocker.unblock():
        ledger_guard.install(connection)


@pytest.fixture(scope="session")
def live_server() -> Iterator[LiveServer]:
    """The site with its files as WhiteNoise serves them, cacheable; not as Django's test does."""
    with patch("django.contrib.staticfiles.handlers.StaticFilesHandler", lambda site: site):
        server = LiveServer("localhost")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Ends with its module: while Playwright runs, this thread has a running event loop, in
    which no asynchronous test can start its own."""
    path = next(filter(None, (shutil.which(name) for name in _NAMES if name)), None)
    if path is None:
        pytest.fail("There is no Chromium: install it, or name it in CHATVAULT_CHROMIUM.")
    with sync_playwright() as playwright:
        # Playwright's loop runs in this thread, which Django takes for an async context.
        before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()
        if before is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Watch:
    """Writes down what no page may do."""

    def __init__(self, page: Page, home: str) -> None:
        self.faults: list[str] = []
        self._home = home
        self._page = page
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("request", self._on_request)
        page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" or message.text.startswith(("Alpine", "Error with ")):
            source = message.location.get("url", "")
            self.faults.append(f"console: {message.text} ({source} on {self._page.url})")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self._home, "data:", "blob:")):
            self.faults.append(f"left for {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status} of {response.url}")


@pytest.fixture
def page(chromium: Browser, live_server: Any) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=live_server.url, viewport={"width": 1360, "height": 900}, timezone_id="UTC"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    watch = Watch(page, live_server.url)
    context.watch = watch  # type: ignore[attr-defined]
    yield page
    context.close()
    assert watch.faults == []


@pytest.fixture
def ada(transactional_db: None) -> User:
    return make_user(username="ada", password=PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def admin_page(page: Page, live_server: Any, ada: User) -> Page:
    """A page that is signed in already."""
    session = SessionStore()
    session[SESSION_KEY] = str(ada.pk)
    session[BACKEND_SESSION_KEY] = django_settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = ada.get_session_auth_hash()
    session.save()
    cookie = {"name": django_settings.SESSION_COOKIE_NAME, "value": session.session_key or ""}
    page.context.add_cookies([{**cookie, "url": live_server.url}])  # type: ignore[list-item]
    return page


@pytest.fixture
def allowed_upstream(upstream: FakeUpstream, settings: Any) -> FakeUpstream:
    """The fake provider, listed in CHATVAULT_PRIVATE_HOSTS."""
    allowed = UpstreamSettings(private_hosts=(f"127.0.0.1:{upstream.port}",))
    settings.CHATVAULT = replace(settings.CHATVAULT, upstream=allowed)
    return upstream


@pytest.fixture
def shoot(request: pytest.FixtureRequest) -> Any:
    """Keeps a picture of a page where CHATVAULT_SCREENSHOTS says; otherwise does nothing."""
    folder = os.environ.get("CHATVAULT_SCREENSHOTS")

    def shoot(page: Page, name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    return shoot
