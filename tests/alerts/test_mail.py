"""Mail to a real server on this machine."""

from __future__ import annotations

from typing import Any

import pytest

from apps import alerts
from apps.alerts import delivery
from apps.alerts.models import Delivery
from tests.factories import make_team
from tests.factories.alerts import make_channel
from tests.fakes.mailbox import MailServer

pytestmark = pytest.mark.django_db


def tell(**more: Any) -> None:
    given: dict[str, Any] = {
        "key": "budget:1",
        "title": "80 % of <b>research</b> is spent",
        "text": "It has spent $8.00 of $10.00.",
        "team_id": None,
        "facts": {"spent_usd": "8", "spent_nano": 8_000_000_000},
        "link": "/admin/billing/budget/1/change/",
    }
    alerts.tell("budget.threshold", **given | more)


def test_a_mail_has_text_and_html(mail_server: MailServer, configure: Any) -> None:
    configure(public_url="https://gateway.example.org")
    team = make_team(name="research")
    make_channel(recipients="ops@example.org, lead@example.org\nops@example.org")
    tell(team_id=team.pk)
    assert delivery.deliver_due() == 1
    (mail,) = mail_server.mails
    assert mail.recipients == ["ops@example.org", "lead@example.org"]
    assert mail.message["Subject"] == "[ChatVault] 80 % of <b>research</b> is spent"
    row = Delivery.objects.get()
    assert mail.message["Message-ID"] == f"<{row.public_id}@chatvault>"
    link = "https://gateway.example.org/admin/billing/budget/1/change/"
    lines = ["It has spent $8.00 of $10.00.", "", "spent: $8", "", link]
    assert mail.text.splitlines() == lines
    assert "80 % of &lt;b&gt;research&lt;/b&gt; is spent" in mail.html
    assert f'href="{link}"' in mail.html
    assert "nano" not in mail.text + mail.html


def test_a_server_that_refuses_is_asked_again(mail_server: MailServer) -> None:
    make_channel()
    mail_server.refusals = ["451 come later"]
    tell()
    assert delivery.deliver_due() == 0
    row = Delivery.objects.get()
    assert (row.state, row.last_error) == ("failed", "The mail server answered 451.")
    Delivery.objects.update(next_at=row.created_at)
    assert delivery.deliver_due() == 1
    assert len(mail_server.mails) == 1


def test_a_mailbox_that_is_unknown_is_a_failure(mail_server: MailServer) -> None:
    make_channel()
    mail_server.unknown = {"ops@example.org"}
    tell()
    assert delivery.deliver_due() == 0
    assert "refused all mailboxes" in Delivery.objects.get().last_error


def test_a_title_cannot_add_a_header(mail_server: MailServer) -> None:
    make_channel()
    tell(title="spent\r\nBcc: somebody@example.com")
    assert delivery.deliver_due() == 1
    (mail,) = mail_server.mails
    assert mail.message["Bcc"] is None
    assert mail.recipients == ["ops@example.org"]


def test_without_a_server_it_says_what_to_set(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    make_channel()
    tell()
    assert delivery.deliver_due() == 0
    assert Delivery.objects.get().last_error == "No mail can be sent: set CHATVAULT_MAIL_URL."
