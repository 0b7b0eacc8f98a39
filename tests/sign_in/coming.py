"""There to an outside provider and back, as a browser goes."""

from __future__ import annotations

from typing import Any

from django.test import Client
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.sign_in.models import IdentityProvider
from tests.factories import make_team
from tests.fakes.oidc import FakeOidc


def start(browser: Client, **extra: str) -> str:
    answer = browser.post(reverse("sign_in_with", args=["op"]), extra)
    assert answer.status_code == 200, answer.content
    return str(answer.context["url"])


def come(browser: Client, op: FakeOidc, **extra: str) -> Any:
    """There and back, as a browser goes."""
    return browser.get(op.agree(start(browser, **extra)))


def is_in(browser: Client) -> bool:
    return browser.get(reverse("sign_in_account")).status_code == 200


def open_to_all(provider: IdentityProvider, role: str = "member") -> IdentityProvider:
    provider.first_login, provider.default_role = IdentityProvider.FirstLogin.TEAM, role
    provider.default_team = make_team()
    provider.save()
    return provider


def refusals() -> list[str]:
    rows = AuditEvent.objects.filter(action="sign_in.failed").order_by("id")
    return [row.after["reason"] for row in rows]
