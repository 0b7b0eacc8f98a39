"""Signing in with a password, waiting after failures, sessions and their ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.sign_in import backoff, services
from apps.sign_in.models import FailedSignIns, PersonSession
from apps.sign_in.sessions import SessionStore, digest_of
from chatvault.lib import clock
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
SIGN_IN = "/sign-in/"


@pytest.fixture
def ada() -> User:
    return make_user(
        username="ada", email="ada@example.org", password=PASSWORD, is_staff=True, is_superuser=True
    )


def sign_in(browser: Client, name: str = "ada", password: str = PASSWORD, **extra: Any) -> Any:
    return browser.post(SIGN_IN, {"username": name, "password": password}, **extra)


def is_in(browser: Client) -> bool:
    return browser.get("/admin/").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in/", "/admin/login/"])
def test_one_page_serves_the_admin_too(path: str, client: Client, ada: User):
    assert client.get(path).status_code == 200
    answer = client.post(path, {"username": "ada", "password": PASSWORD, "next": "/admin/"})
    assert (answer.status_code, answer["location"]) == (302, "/admin/")
    assert is_in(client)


def test_an_address_serves_as_name_when_it_is_of_one_account(client: Client, ada: User):
    assert sign_in(client, "ADA@example.org").status_code == 302
    make_user(username="eve", email="Ada@example.org", password="another long password")
    assert sign_in(Client(), "ada@example.org").status_code == 200


def test_leads_to_no_other_site(client: Client, ada: User):
    answer = client.post(
        SIGN_IN, {"username": "ada", "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert answer["location"] == "/admin/"


def test_session_gets_a_new_key(client: Client, ada: User):
    client.get(SIGN_IN)
    session = client.session
    session["before"] = "kept"
    session.save()
    client.cookies["sessionid"] = session.session_key
    sign_in(client)
    assert client.cookies["sessionid"].value != session.session_key
    assert not PersonSession.objects.filter(pk=digest_of(session.session_key)).exists()


def _body(answer: Any) -> str:
    import re

    text = answer.content.decode()
    return re.sub(r'(csrfmiddlewaretoken" value=|name="username" value=)"[^"]*"', "", text)


def test_unknown_wrong_inactive_and_locked_are_answered_alike(ada: User):
    make_user(username="bob", password=PASSWORD, is_active=False)
    make_user(username="cyd", password=PASSWORD)
    for _ in range(6):
        sign_in(Client(), "cyd", "wrong", REMOTE_ADDR="10.9.0.1")
    told = [
        _body(sign_in(Client(), name, word, REMOTE_ADDR=f"10.1.0.{i}"))
        for i, (name, word) in enumerate(
            [("ada", "wrong"), ("nobody", "wrong"), ("bob", PASSWORD), ("cyd", PASSWORD)]
        )
    ]
    assert told[1:] == told[:-1]
    assert "Please enter the correct name and password" in told[0]


def test_each_way_to_fail_computes_one_hash(ada: User, monkeypatch: pytest.MonkeyPatch):
    from django.contrib.auth.hashers import Argon2PasswordHasher

    counted: list[str] = []
    real = Argon2PasswordHasher.encode
    monkeypatch.setattr(
        Argon2PasswordHasher, "encode", lambda *a: counted.append("hash") or real(*a)
    )
    checked = Argon2PasswordHasher.verify
    monkeypatch.setattr(
        Argon2PasswordHasher, "verify", lambda *a: counted.append("hash") or checked(*a)
    )
    seen = []
    for i, (name, word) in enumerate([("ada", "wrong"), ("nobody", "wrong")]):
        counted.clear()
        sign_in(Client(), name, word, REMOTE_ADDR=f"10.2.0.{i}")
        seen.append(len(counted))
    for _ in range(5):
        backoff.begin(backoff.subjects("ada", None))
    counted.clear()
    sign_in(Client(), "ada", PASSWORD, REMOTE_ADDR="10.2.0.9")
    assert [*seen, len(counted)] == [1, 1, 1]


def test_five_failures_lock_the_account_for_twice_as_long_each_time(ada: User):
    of = backoff.subjects("ada", None)
    waits = []
    with time_machine.travel(clock.now(), tick=False) as hand:
        for _ in range(14):
            assert backoff.begin(of)
            row = FailedSignIns.objects.get()
            wait_s = (row.locked_until - clock.now()).seconds if row.locked_until else 0
            waits.append(wait_s)
            if wait_s:
                assert not backoff.begin(of)
                hand.shift(timedelta(seconds=wait_s - 1))
                assert not backoff.begin(of)
            hand.shift(timedelta(seconds=1))
        hand.shift(timedelta(days=1, seconds=1))
        assert backoff.begin(of)
    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert FailedSignIns.objects.get().failures == 1


def test_success_forgives_the_account(ada: User):
    for _ in range(3):
        for i in range(4):
            sign_in(Client(), "ada", "wrong", REMOTE_ADDR=f"10.3.0.{i}")
        cache.clear()
        assert sign_in(Client(), REMOTE_ADDR="10.3.0.9").status_code == 302
    assert not FailedSignIns.objects.filter(kind="account").exists()


def test_an_address_waits_too_whatever_names_it_tries(ada: User):
    for i in range(5):
        sign_in(Client(), f"guess{i}", "wrong")
    assert sign_in(Client()).status_code == 200
    assert sign_in(Client(), REMOTE_ADDR="10.5.0.1").status_code == 302
    assert AuditEvent.objects.filter(action="sign_in.locked").count() == 1


def test_an_account_of_ones_own_does_not_clear_the_address(ada: User):
    make_user(username="eve", password=PASSWORD)
    for i in range(4):
        sign_in(Client(), f"guess{i}", "wrong")
        sign_in(Client(), "eve")
    sign_in(Client(), "guess9", "wrong")
    assert sign_in(Client(), "eve").status_code == 200


def test_a_lock_can_be_lifted(ada: User):
    for _ in range(5):
        backoff.begin(backoff.subjects("ada", None))
    assert sign_in(Client()).status_code == 200
    assert backoff.lift(FailedSignIns.objects.filter(kind="account")) == 1
    assert sign_in(Client()).status_code == 302


def test_the_table_of_sessions_teaches_no_cookie_and_no_content(client: Client, ada: User):
    sign_in(client, HTTP_USER_AGENT="Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
    row = PersonSession.objects.get(user=ada)
    cookie = client.cookies["sessionid"].value
    assert cookie not in (row.pk, row.session_data)
    assert row.session_data.startswith("cv1:")
    assert (row.browser, row.address, row.way) == ("Firefox 140 on Linux", "127.0.0.1", "password")
    for value in (row.pk, row.session_data):  # what is stored signs nobody in
        thief = Client()
        thief.cookies["sessionid"] = value
        assert not is_in(thief)


def test_a_session_moved_to_another_row_does_not_open(client: Client, ada: User):
    sign_in(client)
    stolen = PersonSession.objects.get(user=ada).session_data
    mine = SessionStore()
    mine.save()
    PersonSession.objects.filter(pk=digest_of(mine.session_key)).update(session_data=stolen)
    assert SessionStore(mine.session_key).load() == {}


def test_a_session_ends_after_twelve_hours_however_busy(client: Client, ada: User):
    start = clock.now()
    with time_machine.travel(start, tick=False) as hand:
        sign_in(client)
        for _ in range(11):
            hand.shift(timedelta(hours=1))
            assert is_in(client)
        hand.shift(timedelta(hours=1, seconds=1))
        assert not is_in(client)


def test_a_session_ends_when_nobody_uses_it(client: Client, ada: User):
    with time_machine.travel(clock.now(), tick=False) as hand:
        sign_in(client)
        hand.shift(timedelta(minutes=119))
        assert is_in(client)
        hand.shift(timedelta(minutes=121))
        assert not is_in(client)


def test_ended_sessions_are_over_with_the_next_request(ada: User):
    first, second = Client(), Client()
    sign_in(first), sign_in(second)
    services.sign_out_everywhere(user=ada)
    assert (is_in(first), is_in(second)) == (False, False)
    assert AuditEvent.objects.filter(action="session.ended").count() == 2


def test_signing_out_everywhere_else_keeps_this_one(ada: User):
    first, second = Client(), Client()
    sign_in(first), sign_in(second)
    assert first.post(reverse("sign_in_end_others")).status_code == 302
    assert (is_in(first), is_in(second)) == (True, False)


def test_the_session_of_somebody_else_cannot_be_ended(client: Client, ada: User):
    make_user(username="eve", password=PASSWORD)
    sign_in(client)
    eve = Client()
    sign_in(eve, "eve")
    row = PersonSession.objects.get(user=ada)
    assert eve.post(reverse("sign_in_end_session", args=[row.pk])).status_code == 404
    assert is_in(client)


def test_a_disabled_person_is_out_at_once(client: Client, ada: User):
    sign_in(client)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert not is_in(client)


def test_a_new_password_ends_the_other_sessions(ada: User):
    first, second = Client(), Client()
    sign_in(first), sign_in(second)
    new = "a wholly different passphrase"
    answer = first.post(
        reverse("account_change_password"),
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )
    assert answer.status_code == 302
    assert (is_in(first), is_in(second)) == (True, False)
    assert PersonSession.objects.filter(user=ada).count() == 1
    assert AuditEvent.objects.filter(action="password.changed").exists()


def test_somebody_without_a_role_is_told_so(client: Client):
    make_user(username="eve", password=PASSWORD)
    sign_in(client, "eve")
    answer = client.get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "no role yet" in answer.content.decode()
    assert client.get(reverse("sign_in_account")).status_code == 200


def test_signing_in_and_failing_is_on_the_trail(client: Client, ada: User):
    sign_in(client, "ada", "wrong")
    sign_in(client, "nobody", "wrong")
    sign_in(client)
    seen = AuditEvent.objects.order_by("id").values_list("action", "actor", "target")
    assert list(seen) == [
        ("sign_in.failed", "not signed in", "ada"),
        ("sign_in.failed", "not signed in", ""),
        ("sign_in.succeeded", "ada", "ada"),
    ]
    assert PASSWORD not in str(list(AuditEvent.objects.values()))
