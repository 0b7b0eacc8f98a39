"""Signing in, failing to, and signing out are events of who did it."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.audit.models import AuditEvent
from tests.factories import make_user

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize("way_out", ["admin:logout", "account_logout"])
def test_coming_failing_and_going_are_recorded(way_out: str) -> None:
    user = make_user(username="ada", password=PASSWORD, is_staff=True, is_superuser=True)
    browser, url = Browser(), reverse("account_login")
    for password in ("wrong horse", PASSWORD):
        browser.post(url, {"login": "ada", "username": "ada", "password": password})
    assert browser.get(reverse("admin:index")).status_code in (200, 302)
    assert browser.post(reverse(way_out)).status_code == 302
    told = AuditEvent.objects.filter(topic="sign_in").order_by("id")
    assert [each.action for each in told] == [
        "sign_in.failed", "sign_in.succeeded", "sign_in.ended",
    ]  # fmt: skip
    assert [each.target_id for each in told] == [str(user.pk)] * 3
    assert (told[2].actor, told[2].user_id, told[2].address) == ("ada", user.pk, "127.0.0.1")
    assert "horse" not in str(list(told.values()))
