"""One id for a request to the admin and for all that it causes."""

import logging

import pytest
from django.test import Client as Browser
from django.urls import reverse

from apps.configuration import job_queue
from apps.configuration.models import JobRun, ScheduledJob
from chatvault.beat import TIMETABLE
from chatvault.lib import correlation
from chatvault.lib.logs import JsonFormatter, TextFormatter
from tests.factories import make_user

LOGIN = reverse("admin:login")


@pytest.mark.django_db
def test_an_answer_says_its_id_and_keeps_a_proxys():
    browser = Browser()
    own = browser.get(LOGIN).headers["X-Request-ID"]
    assert len(own) == 36
    assert browser.get(LOGIN).headers["X-Request-ID"] != own
    given = browser.get(LOGIN, headers={"X-Request-ID": "edge-17"})
    assert given.headers["X-Request-ID"] == "edge-17"
    spoilt = browser.get(LOGIN, headers={"X-Request-ID": "a <b>" + "x" * 99})
    assert spoilt.headers["X-Request-ID"] == ("ab" + "x" * 99)[: correlation.MAX_LENGTH]
    assert correlation.current() == ""


@pytest.mark.django_db
def test_a_job_that_a_click_starts_carries_its_id(monkeypatch):
    from apps.configuration import timetable

    monkeypatch.setattr(job_queue, "send", lambda row: True)
    timetable.sync(TIMETABLE)
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    key = ScheduledJob.objects.get(name="verify-ledger").pk
    browser.post(
        reverse("admin:configuration_scheduledjob_changelist"),
        {"action": "run_selected", "_selected_action": [key]},
        headers={"X-Request-ID": "edge-17"},
    )
    assert JobRun.objects.get().correlation_id == "edge-17"


def test_lines_carry_it():
    record = logging.LogRecord("x", logging.INFO, "", 0, "said", (), None)
    with correlation.within("edge-17"):
        assert '"request_id":"edge-17"' in JsonFormatter().format(record)
        assert "request_id=edge-17" in TextFormatter().format(record)
    assert "request_id" not in JsonFormatter().format(record)
