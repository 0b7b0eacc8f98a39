"""The sample applications in a real Chromium: people allow them, or do not, and they chat."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page, expect

from apps.accounts import bearers
from apps.accounts.credentials import Asker
from apps.accounts.key_cache import KeyCache
from apps.accounts.models import Client, User
from apps.oauth.models import AccessToken, Application
from tests.browser.conftest import PASSWORD
from tests.factories import make_client, make_team, make_user
from tests.factories.accounts import make_membership
from tests.factories.oauth import make_application
from tests.fakes.upstream import FakeUpstream
from tests.gateway.testbed import PEPPER, Gateway

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def member(transactional_db: None) -> User:
    user = make_user(username="ben", password=PASSWORD, first_name="Ben", last_name="Ode")
    make_membership(team=make_team(name="research"), user=user, role="member")
    return user


@pytest.fixture
def answering(gateway: Gateway, upstream: FakeUpstream, member: User) -> Iterator[Gateway]:
    """A gateway that asks the database of this test who a token is of, and has one client."""
    gateway.add_model("gpt-4o-mini", upstream.openai_url)
    gateway.add_client()
    make_client(pk=max(gateway._clients), team=member.memberships.get().team, name="notes-payer")
    mine = connections["default"]
    is_shared = mine.vendor == "sqlite"

    def answer(questions: Any) -> Any:
        if is_shared:  # a database in memory is known to its own connection alone
            connections["default"] = mine
        try:
            return bearers.answer(questions)
        finally:
            if not is_shared:
                connections.close_all()

    async def load(questions: Any) -> Any:
        return await asyncio.to_thread(answer, questions)

    gateway.plane.keys = KeyCache(load, asker=Asker([PEPPER]))
    mine.inc_thread_sharing()
    yield gateway
    mine.dec_thread_sharing()


def payer_of(gateway: Gateway) -> Client:
    return Client.objects.get(pk=max(gateway._clients))


@pytest.fixture
def run(live_server: Any, answering: Gateway) -> Iterator[Callable[..., Any]]:
    """Starts a sample application; gives its process, whose first line has been read."""
    started: list[subprocess.Popen[str]] = []

    def run(file: str, issued: Any, *arguments: str) -> tuple[Any, str]:
        around = os.environ | {
            "CHATVAULT_URL": live_server.url,
            "CHATVAULT_API_URL": answering.openai_url,
            "CLIENT_ID": issued.application.client_id,
            "CLIENT_SECRET": issued.secret.reveal() if issued.secret else "",
            "AUTHLIB_INSECURE_TRANSPORT": "1",
        }
        command = [sys.executable, str(EXAMPLES / file), "--model", "gpt-4o-mini", *arguments]
        process = subprocess.Popen(command, env=around, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline()

    yield run
    for process in started:
        process.terminate()
        process.wait(10)
        process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture
def free_page(chromium: Browser, live_server: Any) -> Iterator[Page]:
    """A page that may leave for the sample application."""
    context = chromium.new_context(base_url=live_server.url, timezone_id="UTC")
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


def sign_in(page: Page) -> None:
    page.fill("#id_username", "ben")
    page.fill("#id_password", PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def say(page: Page, text: str) -> None:
    page.fill("input[name=text]", text)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#answer")).not_to_be_empty()


def in_the_dark(page: Page, shoot: Any, name: str) -> None:
    shoot(page, name)
    page.emulate_media(color_scheme="dark")
    shoot(page, f"{name}-dark")
    page.emulate_media(color_scheme="light")


def test_the_sample_application_signs_in_and_chats(
    free_page: Page, run: Any, answering: Gateway, shoot: Any
):
    payer = payer_of(answering)
    issued = make_application(
        payer=payer,
        name="Notes",
        description="Writes down what was said.",
        redirect_uris="http://127.0.0.1/callback",
        scopes=["openid", "profile", "inference", "usage:read"],
    )
    page, (_, line) = free_page, run("web.py", issued, "--port", "0")
    home = line.removeprefix("Open ").strip()

    page.goto(home)
    page.get_by_role("link", name="Sign in with ChatVault").click()
    assert "/sign-in/" in page.url
    sign_in(page)
    expect(page.locator("h1")).to_have_text("Allow Notes to act for you?")
    for words in ("Your name and user name", "Call models", "team research", "notes-payer"):
        expect(page.locator("main")).to_contain_text(words)
    expect(page.locator("main")).not_to_contain_text("See requests")
    in_the_dark(page, shoot, "oauth-consent")

    page.get_by_role("button", name="Do not allow").click()
    expect(page.locator("#error")).to_contain_text("access_denied")
    assert not AccessToken.objects.exists()

    page.get_by_role("link", name="Start again").click()
    page.get_by_role("link", name="Sign in with ChatVault").click()
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("#who")).to_have_text("Signed in as Ben Ode.")
    assert page.url == home
    say(page, "Hello")
    shoot(page, "oauth-sample")
    page.get_by_role("button", name="Refresh the token").click()
    expect(page.locator("#refreshed")).to_be_visible()
    say(page, "Again")
    assert len(answering.wait_settled(2)) == 2
    charged = {one.client_id for one in answering.records() if hasattr(one, "client_id")}
    assert charged == {payer.pk}

    wider = run("web.py", issued, "--port", "0", "--scope", "openid inference usage:read")[1]
    wider = wider.removeprefix("Open ").strip()
    page.goto(wider)
    page.get_by_role("link", name="Sign in with ChatVault").click()
    expect(page.locator("h1")).to_have_text("Allow Notes to act for you?")
    expect(page.locator("main")).to_contain_text("See requests, errors and what was used")
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("#scope")).to_contain_text("usage:read")

    page.goto("/oauth/allowed")
    expect(page.locator("section.entry")).to_contain_text("Notes")
    in_the_dark(page, shoot, "oauth-allowed")
    page.get_by_role("button", name="Stop it").click()
    expect(page.get_by_text("Notes may not act for you any more.")).to_be_visible()
    page.goto(wider)
    page.get_by_role("button", name="Refresh the token").click()
    expect(page.locator("#error")).to_contain_text("invalid_grant")


def test_a_device_is_connected_and_chats(free_page: Page, run: Any, answering: Gateway, shoot: Any):
    issued = make_application(
        payer=payer_of(answering),
        name="Console",
        authorization_grant_type=Application.GRANT_DEVICE_CODE,
        client_type=Application.CLIENT_PUBLIC,
        scopes=["inference"],
    )
    process, line = run("device.py", issued, "Hello")
    where, code = line.removeprefix("Open ").strip().split(" and enter ")
    page = free_page
    page.goto(where)
    sign_in(page)
    in_the_dark(page, shoot, "oauth-device-code")
    page.fill("#id_user_code", code.lower())
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("h1")).to_contain_text("Allow Console on the device")
    in_the_dark(page, shoot, "oauth-device")
    page.get_by_role("button", name="Allow", exact=True).click()
    expect(page.locator("h1")).to_have_text("Console is connected")
    in_the_dark(page, shoot, "oauth-device-done")
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, bool(said.strip())) == (0, True)
    assert len(answering.wait_settled()) == 1
