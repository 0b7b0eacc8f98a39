"""Faults of processes without a journal are added to the error groups by a thread."""

import pytest
from django.db import DatabaseError, connection

from apps.usage import fault_log
from apps.usage.models import ErrorGroup
from chatvault import celery, process
from chatvault.lib.faults import faults


@pytest.fixture(autouse=True)
def _own(monkeypatch):
    faults.take()
    monkeypatch.setattr(connection, "close", lambda: None)  # it is the test's
    yield
    faults.take()


@pytest.mark.django_db
def test_what_was_noted_is_written_once():
    for _ in range(3):
        faults.note(ZeroDivisionError("division by zero"))
    assert fault_log.write() == 1
    assert fault_log.write() == 0
    group = ErrorGroup.objects.get()
    assert (group.kind, group.code, group.count) == ("fault", "ZeroDivisionError", 3)
    assert group.last_detail == "division by zero"


@pytest.mark.django_db
def test_what_the_database_does_not_take_is_kept(monkeypatch, caplog):
    faults.note(ZeroDivisionError())

    def refuse(*_: object) -> None:
        raise DatabaseError("password=hunter2-canary")

    with monkeypatch.context() as patch:
        patch.setattr(fault_log, "save", refuse)
        assert fault_log.write() == 0
    assert "hunter2" not in caplog.text
    assert fault_log.write() == 1


@pytest.mark.django_db
def test_an_error_that_django_logs_is_a_fault(client, settings, monkeypatch):
    client.raise_request_exception = False
    monkeypatch.setattr("apps.gateway.views.bridge.respond", lambda *_: 1 / 0)
    monkeypatch.setattr("apps.gateway.views.bridge.most_body_bytes", lambda: 1_000)
    assert client.get("/v1/models").status_code == 500
    (found,) = faults.take()
    assert (found.name, found.place) == ("ZeroDivisionError", "apps.gateway.views.hand_on")


def test_a_worker_begins_and_ends_as_every_process_does(monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(process, "begin", told.append)
    monkeypatch.setattr(process, "end", lambda: told.append("end"))
    celery.begin(sender=None)
    celery.end(sender=None)
    assert told == ["worker", "end"]
