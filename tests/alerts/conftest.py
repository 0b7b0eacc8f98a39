from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.mailbox import MailServer
from tests.fakes.receiver import Receiver

OPERATORS_HOSTS = "127.0.0.1"


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Other values in the section of alerts."""

    def change(**values: Any) -> None:
        section = settings.CHATVAULT.alerts
        given = {name: getattr(section, name) for name in type(section).model_fields} | values
        settings.CHATVAULT = dataclasses.replace(settings.CHATVAULT, alerts=type(section)(**given))

    return change


@pytest.fixture
def receiver(configure: Callable[..., None]) -> Iterator[Receiver]:
    configure(private_hosts=(OPERATORS_HOSTS,), timeout_s=5.0)
    with Receiver().running() as running:
        yield running


@pytest.fixture
def mail_server(settings: Any) -> Iterator[MailServer]:
    with MailServer().running() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", running.port
        settings.EMAIL_TIMEOUT = 5.0
        yield running
