"""Signing in in a real Chromium: an authenticator app, a security key, an OpenID provider."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from apps.accounts.models import User
from apps.sign_in.models import IdentityProvider, OutsideIdentity, PersonSession
from tests.browser.conftest import PASSWORD
from tests.factories import make_team
from tests.fakes.oidc import FakeOidc
from tests.sign_in.conftest import make_provider

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def code_of(secret: str, ahead: int = 0) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30 + ahead))


def give_password(page: Page) -> None:
    page.goto("/admin/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_an_authenticator_app_is_added_and_asked(page: Page, ada: User, shoot: Any):
    give_password(page)
    page.goto(reverse("sign_in_account"))
    shoot(page, "sign-in-account")
    page.get_by_role("link", name="Add an authenticator app").click()
    secret = page.locator("#totp-secret").inner_text()
    shoot(page, "sign-in-add-app")
    page.fill("#id_code", code_of(secret))
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("#recovery-codes")).to_be_visible()
    shoot(page, "sign-in-recovery-codes")
    page.get_by_role("link", name="Back to your account").click()
    page.get_by_role("button", name="Sign out", exact=True).click()
    give_password(page)
    expect(page.locator("#id_code")).to_be_visible()
    shoot(page, "sign-in-second-factor")
    page.fill("#id_code", "000000")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Please enter a correct code")).to_be_visible()
    page.fill("#id_code", code_of(secret, ahead=1))
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#nav-sidebar-apps")).to_contain_text("Overview")


def test_a_security_key_is_added_and_asked(page: Page, ada: User, shoot: Any):
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "usb",
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    give_password(page)
    page.goto(reverse("mfa_add_webauthn"))
    page.fill("#id_name", "blue key")
    shoot(page, "sign-in-add-key")
    page.get_by_role("button", name="Add it").click()
    expect(page.locator("#recovery-codes")).to_be_visible()
    assert str(Authenticator.objects.get(type="webauthn")) == "blue key"
    page.goto(reverse("sign_in_account"))
    page.get_by_role("button", name="Sign out", exact=True).click()
    give_password(page)
    page.get_by_role("button", name="Use a security key").click()
    expect(page.locator("#nav-sidebar-apps")).to_contain_text("Overview")


@pytest.fixture
def outside(live_server: Any, settings: Any, transactional_db: None) -> Iterator[FakeOidc]:
    op = FakeOidc().start()
    op.redirect_uris.add(f"{live_server.url}/sign-in/with/op/callback/")
    make_provider(op, settings)
    yield op
    op.stop()


@pytest.fixture
def free_page(chromium: Browser, live_server: Any) -> Iterator[Page]:
    """A page that may leave for the provider."""
    context = chromium.new_context(base_url=live_server.url, timezone_id="UTC")
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    context.close()


def test_an_outside_provider_signs_in(free_page: Page, outside: FakeOidc, shoot: Any):
    team = make_team()
    IdentityProvider.objects.update(first_login="team", default_team=team, default_role="member")
    page = free_page
    page.goto("/admin/")
    shoot(page, "sign-in-providers")
    page.get_by_role("button", name="Sign in with Example").click()
    page.get_by_role("button", name="Agree as Ada Lovelace").click()
    expect(page.locator("#nav-sidebar-apps")).to_contain_text("Overview")
    user = User.objects.get(username="ada.l")
    assert user.memberships.get().team == team
    assert PersonSession.objects.get(user=user).browser.startswith("Chrome")


def test_a_lie_of_the_provider_signs_nobody_in(free_page: Page, outside: FakeOidc, shoot: Any):
    IdentityProvider.objects.update(
        first_login="team", default_team=make_team(), default_role="owner"
    )
    outside.change = lambda claims: claims.update(nonce="of another sign-in")
    page = free_page
    page.emulate_media(color_scheme="dark")
    page.goto("/admin/")
    page.get_by_role("button", name="Sign in with Example").click()
    page.get_by_role("button", name="Agree as Ada Lovelace").click()
    expect(page.locator("#why")).to_contain_text("does not prove who you are")
    shoot(page, "sign-in-refused-dark")
    page.goto("/admin/")
    expect(page.locator("#id_username")).to_be_visible()
    shoot(page, "sign-in-dark")
    assert not OutsideIdentity.objects.exists()
