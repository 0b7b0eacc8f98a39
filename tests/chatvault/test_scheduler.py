"""One beat at a time; what is due becomes a row before it becomes a message."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import DatabaseError
from django_celery_beat.models import PeriodicTask

from apps.configuration import job_queue, timetable
from apps.configuration.models import JobRun
from chatvault import scheduler
from chatvault.beat import TIMETABLE
from chatvault.celery import app, lay_correlation_down, pass_correlation_on, take_correlation_up
from chatvault.lib import clock, correlation
from chatvault.scheduler import LOOK_EVERY_S, FileClaim, OneBeat

pytestmark = pytest.mark.django_db


class Held:
    """A claim that a test gives and takes."""

    def __init__(self, is_held: bool = True) -> None:
        self.is_held = is_held

    def hold(self) -> bool:
        return self.is_held


@pytest.fixture(autouse=True)
def messages(monkeypatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(job_queue, "send", lambda row: sent.append(row.name))
    monkeypatch.setattr(OneBeat, "send_task", lambda self, name, *_, **__: sent.append(name))
    monkeypatch.setattr(OneBeat, "producer", None)
    return sent


def beat(monkeypatch, claim: Held) -> OneBeat:
    monkeypatch.setattr(scheduler, "make_claim", lambda: claim)
    return OneBeat(app=app, lazy=True)


def run(one: OneBeat) -> None:
    for _ in range(50):
        if one.tick() > 0:
            return
    raise AssertionError


def overdue(*names: str) -> None:
    rows = PeriodicTask.objects.filter(name__in=names)
    rows.update(last_run_at=clock.now() - timedelta(days=2))


def test_the_file_lock_is_one_beats(tmp_path: Path) -> None:
    first, second = FileClaim(tmp_path / "beat" / "lock"), FileClaim(tmp_path / "beat" / "lock")
    assert [first.hold(), second.hold(), first.hold()] == [True, False, True]
    del first  # its descriptor stays open with the process; a dead one's is closed
    assert not second.hold()


def test_a_beat_without_the_claim_does_nothing(monkeypatch) -> None:
    one = beat(monkeypatch, Held(False))
    assert one.tick() == LOOK_EVERY_S
    assert not PeriodicTask.objects.exists()


def test_the_beat_with_the_claim_brings_the_file_in(monkeypatch, messages) -> None:
    run(beat(monkeypatch, Held()))
    assert set(PeriodicTask.objects.values_list("name", flat=True)) == set(TIMETABLE)
    assert messages == []  # a new job is due after its first interval


def test_what_is_overdue_becomes_a_row_and_a_message(
    monkeypatch, messages, django_capture_on_commit_callbacks
) -> None:
    timetable.sync(TIMETABLE)
    overdue("verify-ledger", "roll-up-recent-hours")  # also a daily one, whatever the hour is now
    with django_capture_on_commit_callbacks(execute=True):
        run(beat(monkeypatch, Held()))
    rows = JobRun.objects.order_by("name").values_list("name", "state")
    assert list(rows) == [("roll-up-recent-hours", "queued"), ("verify-ledger", "queued")]
    assert sorted(messages) == ["roll-up-recent-hours", "verify-ledger"]
    kept = PeriodicTask.objects.get(name="verify-ledger")
    assert kept.last_run_at > clock.now() - timedelta(minutes=1)


def test_two_beats_that_both_think_that_they_are_the_one_make_one_row(monkeypatch) -> None:
    timetable.sync(TIMETABLE)
    overdue("verify-ledger")
    first, second = beat(monkeypatch, Held()), beat(monkeypatch, Held())
    first.tick()
    overdue("verify-ledger")
    run(second)
    run(first)
    assert JobRun.objects.count() == 1


def test_the_watch_leaves_no_rows(monkeypatch, messages) -> None:
    timetable.sync(TIMETABLE)
    overdue("look-after-jobs")
    monkeypatch.setattr(app, "_tasks", {})
    run(beat(monkeypatch, Held()))
    assert messages == ["apps.configuration.tasks.look_after_jobs"]
    assert not JobRun.objects.exists()


def test_a_database_that_does_not_answer_only_delays(monkeypatch) -> None:
    timetable.sync(TIMETABLE)
    overdue("verify-ledger")

    def enqueue(*_: object) -> None:
        raise DatabaseError

    one = beat(monkeypatch, Held())
    with monkeypatch.context() as broken:
        broken.setattr(job_queue, "enqueue", enqueue)
        one.tick()
    assert not JobRun.objects.exists()
    run(one)
    assert JobRun.objects.get().name == "verify-ledger"


def test_a_paused_job_is_not_sent_and_a_beat_that_lost_the_claim_stops(monkeypatch) -> None:
    timetable.sync(TIMETABLE)
    claim = Held()
    one = beat(monkeypatch, claim)
    run(one)
    timetable.pause(row=PeriodicTask.objects.get(name="verify-ledger"), is_paused=True)
    overdue("verify-ledger")
    run(one)
    claim.is_held = False
    overdue("roll-up-recent-hours")
    assert one.tick() == LOOK_EVERY_S
    assert not JobRun.objects.exists()


def test_a_task_knows_which_request_caused_it() -> None:
    headers = {"traceparent": "00-…"}
    with correlation.within("request-7"):
        pass_correlation_on(headers=headers)
    assert headers == {"traceparent": "00-…", correlation.HEADER: "request-7"}

    class Task:
        class request:
            chatvault_correlation_id = "request-7\n<bad>"

    take_correlation_up(task=Task, task_id="t1")
    assert correlation.current() == "request-7bad"
    lay_correlation_down(task=Task)
    assert correlation.current() == ""


def test_without_a_request_the_message_itself_is_the_cause() -> None:
    class Task:
        class request:
            pass

    take_correlation_up(task=Task, task_id="t1")
    assert correlation.current() == "t1"
    lay_correlation_down(task=Task)
