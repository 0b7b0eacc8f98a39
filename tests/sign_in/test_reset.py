"""A forgotten password: by mail where there is mail, with one answer for everybody."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from pydantic import SecretStr

from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.sign_in.models import PersonSession
from chatvault.settings.mail import MailSettings
from tests.factories import make_user

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"
NEW = "a wholly different passphrase"


@pytest.fixture
def ada() -> User:
    return make_user(username="ada", email="ada@example.org", password=PASSWORD, is_superuser=True)


@pytest.fixture
def mailing(settings: Any) -> None:
    own = MailSettings(url=SecretStr("smtp://mail.example.org:587"))
    settings.CHATVAULT = replace(settings.CHATVAULT, mail=own)


def ask(address: str) -> Any:
    answer = Client().post(reverse("account_reset_password"), {"email": address})
    for thread in threading.enumerate():
        if thread.daemon and thread.name.startswith("mail to"):
            thread.join(5)
    return answer


def test_without_mail_there_is_no_such_page(client: Client, ada: User):
    assert client.get(reverse("account_reset_password")).status_code == 404
    assert "An owner of this installation" in client.get("/sign-in/").content.decode()


def test_known_and_unknown_addresses_are_answered_alike(ada: User, mailing: None):
    known, unknown = ask("ada@example.org"), ask("nobody@example.org")
    assert (known.status_code, known["location"]) == (unknown.status_code, unknown["location"])
    assert [message.to for message in mail.outbox] == [["ada@example.org"]]


def test_a_link_works_once_and_ends_the_sessions(client: Client, ada: User, mailing: None):
    client.force_login(ada)
    ask("ada@example.org")
    link = re.search(r"http://testserver(\S+)", mail.outbox[0].body)
    assert link is not None
    fresh = Client()
    form = fresh.get(link[1], follow=True)
    posted = {"new_password1": NEW, "new_password2": NEW}
    assert fresh.post(form.redirect_chain[-1][0], posted).status_code == 302
    ada.refresh_from_db()
    assert ada.check_password(NEW)
    assert not PersonSession.objects.filter(user=ada).exists()
    assert "used already" in Client().get(link[1], follow=True).content.decode()
    assert AuditEvent.objects.filter(action="password.changed").count() == 1


@pytest.mark.parametrize("broken", ["http://mail.example.org", "mail.example.org", "smtp://"])
def test_an_address_of_mail_that_is_none_is_refused(broken: str):
    from chatvault.refusal import Refusal

    with pytest.raises(Refusal, match="CHATVAULT_MAIL_URL"):
        MailSettings(url=SecretStr(broken))
    assert MailSettings(url=SecretStr("smtps://u:p%40@h")).as_django()["EMAIL_PORT"] == 465
