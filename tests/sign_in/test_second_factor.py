"""Second factors: demanded, set up, asked, used once, lost."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from apps.accounts import second_factor as asked_for_tokens
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.sign_in import second_factor
from chatvault.lib import clock
from chatvault.settings.core import CoreSettings
from chatvault.settings.sign_in import SignInSettings
from tests.factories import make_membership, make_user
from tests.sign_in.coming import come, open_to_all

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada() -> User:
    return make_user(username="ada", password=PASSWORD, is_superuser=True)


@pytest.fixture
def demanded(settings: Any) -> None:
    own = settings.CHATVAULT.sign_in.model_copy(update={"mfa_for_staff": True})
    settings.CHATVAULT = replace(settings.CHATVAULT, sign_in=own)


def code_of(secret: str, at: float | None = None) -> str:
    counter = int(time.time() if at is None else at) // 30
    return totp.format_hotp_value(totp.hotp_value(secret, counter))


def sign_in(browser: Client, name: str = "ada") -> Any:
    return browser.post("/sign-in/", {"username": name, "password": PASSWORD})


def enrol(browser: Client) -> str:
    url = reverse("mfa_activate_totp")
    secret = browser.get(url).context["form"].secret
    answer = browser.post(url, {"code": code_of(secret)})
    assert answer.status_code == 302, answer.content
    return str(secret)


def is_in(browser: Client) -> bool:
    return browser.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    ("core", "wanted"),
    [
        ({}, False),
        ({"host": "0.0.0.0"}, True),
        ({"trusted_proxies": ("10.0.0.1",)}, True),
        ({"allowed_hosts": ("localhost", "chat.example.org")}, True),
    ],
)
def test_is_demanded_as_soon_as_others_can_reach_us(core: dict[str, Any], wanted: bool):
    plain = {"host": "127.0.0.1", "allowed_hosts": ("localhost", "127.0.0.1")}
    where = CoreSettings(**plain | core)
    assert SignInSettings().needs_second_factor(where) is wanted
    assert SignInSettings(mfa_for_staff=not wanted).needs_second_factor(where) is not wanted


def test_nothing_else_is_open_before_it_is_set_up(client: Client, ada: User, demanded: None):
    sign_in(client)
    for path in ("/admin/", "/admin/accounts/user/", reverse("sign_in_end_others")):
        assert client.get(path)["location"] == reverse("mfa_index"), path
    refused = client.get("/api/v1/teams/")
    assert refused.status_code == 403
    assert "second factor" in refused.json()["error"]["message"]
    enrol(client)
    assert is_in(client)
    assert AuditEvent.objects.filter(action="second_factor.added").count() == 1


def test_who_may_change_nothing_needs_none(client: Client, demanded: None):
    viewer = make_user(username="vic", password=PASSWORD)
    make_membership(user=viewer, role="viewer")
    sign_in(client, "vic")
    assert is_in(client)
    lead = make_user()
    make_membership(user=lead, role="admin")
    assert (second_factor.must_enrol(viewer), second_factor.must_enrol(lead)) == (False, True)


def test_the_seed_is_sealed_for_its_owner(client: Client, ada: User):
    sign_in(client)
    secret = enrol(client)
    row = Authenticator.objects.get(user=ada, type="totp")
    assert secret not in str(row.data)
    eve = make_user(username="eve", password=PASSWORD)
    Authenticator.objects.filter(pk=row.pk).update(user=eve)
    thief = Client()
    sign_in(thief, "eve")
    thief.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert not is_in(thief)


def test_adding_one_asks_again_who_signed_in_long_ago(client: Client, ada: User):
    with time_machine.travel(clock.now(), tick=False) as hand:
        sign_in(client)
        hand.shift(timedelta(minutes=31))
        answer = client.get(reverse("mfa_activate_totp"))
        assert answer["location"].startswith(reverse("account_reauthenticate"))
        cache.clear()
        client.post(answer["location"], {"password": "wrong"})
        assert client.get(reverse("mfa_activate_totp")).status_code == 302
        client.post(answer["location"], {"password": PASSWORD})
        assert client.get(reverse("mfa_activate_totp")).status_code == 200


def test_is_asked_and_a_code_works_once(client: Client, ada: User):
    sign_in(client)
    secret = enrol(client)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        code = code_of(secret)
        first, second = Client(), Client()
        assert sign_in(first)["location"] == reverse("mfa_authenticate")
        assert not is_in(first)
        assert first.get(reverse("mfa_authenticate")).status_code == 200
        assert first.post(reverse("mfa_authenticate"), {"code": code})["location"] == "/admin/"
        assert is_in(first)
        sign_in(second)
        for replayed in (code, f"{code[:3]} {code[3:]}"):
            assert second.post(reverse("mfa_authenticate"), {"code": replayed}).status_code == 200
        assert not is_in(second)


def test_guessing_codes_is_locked_although_the_password_is_known(client: Client, ada: User):
    sign_in(client)
    secret = enrol(client)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        for i in range(6):
            cache.clear()
            guesser = Client(REMOTE_ADDR=f"10.7.0.{i}")
            sign_in(guesser)
            guesser.post(reverse("mfa_authenticate"), {"code": "000000"})
        good = Client(REMOTE_ADDR="10.7.1.1")
        sign_in(good)
        assert good.post(reverse("mfa_authenticate"), {"code": code_of(secret)}).status_code == 200
        assert not is_in(good)


def test_a_recovery_code_works_once_and_is_shown_once(client: Client, ada: User):
    sign_in(client)
    enrol(client)
    shown = client.get(reverse("mfa_view_recovery_codes")).context["unused_codes"]
    assert len(shown) == 10
    for browser, works in ((Client(), True), (Client(), False)):
        sign_in(browser)
        browser.post(reverse("mfa_authenticate"), {"code": shown[0]})
        assert is_in(browser) is works


def test_an_outside_provider_does_not_go_round_it(client: Client, op: Any, provider: Any):
    open_to_all(provider)
    come(client, op)
    user = User.objects.get()
    user.set_password(PASSWORD)
    user.save()
    mine = Client()
    sign_in(mine, user.username)
    enrol(mine)
    again = Client()
    assert come(again, op)["location"] == reverse("mfa_authenticate")
    assert not is_in(again)


def test_tokens_by_password_ask_for_it_too(client: Client, ada: User, demanded: None):
    assert not asked_for_tokens.is_right(ada, "")
    sign_in(client)
    secret = enrol(client)
    with time_machine.travel(clock.now() + timedelta(minutes=2), tick=False):
        assert not asked_for_tokens.is_right(ada, "")
        assert asked_for_tokens.is_right(ada, code_of(secret))
        assert not asked_for_tokens.is_right(ada, code_of(secret))


def test_the_lost_device_is_taken_away_by_an_owner(client: Client, ada: User):
    sign_in(client)
    enrol(client)
    owner = Client()
    owner.force_login(make_user(is_superuser=True))
    url = reverse("admin:mfa_authenticator_changelist")
    row = Authenticator.objects.filter(user=ada).first()
    assert row is not None
    text = owner.get(url).content.decode()
    assert "ada" in text and "cv1:" not in text
    owner.post(url, {"action": "remove_all", "_selected_action": [row.pk]})
    assert not Authenticator.objects.filter(user=ada).exists()
    assert AuditEvent.objects.filter(action="second_factor.reset").count() == 1
