"""A run is a row: what it tells, that it runs once, and what becomes of it when its worker dies."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from apps.configuration import job_queue, jobs, workers
from apps.configuration.job_errors import JobOverdue, JobProblem, JobTakenAway, NothingToDo, told
from apps.configuration.models import JobRun
from chatvault.lib import clock, correlation
from chatvault.lib.errors import UpstreamTimedOut

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sent(monkeypatch) -> list[tuple[str, dict[str, Any]]]:
    """Messages instead of a broker."""
    messages: list[tuple[str, dict[str, Any]]] = []

    def send_task(name: str, **more: Any) -> None:
        messages.append((name, more))

    monkeypatch.setattr(job_queue, "_application", lambda: SimpleNamespace(send_task=send_task))
    return messages


def dead() -> str:
    """A worker of this machine that is no more."""
    place, pid, started = workers.identity().rsplit("/", 2)
    return f"{place}/{pid}/{int(started) - 1}"


def running(**changes: Any) -> JobRun:
    values = {
        "name": "sums",
        "task": "t.sums",
        "state": "running",
        "started_at": clock.now(),
        "heartbeat_at": clock.now(),
        "worker": "elsewhere/1/1/1",
    }
    return JobRun.objects.create(**{**values, **changes})


def test_a_run_tells_how_far_it_is_and_that_it_is_done():
    with correlation.within("request-7"), jobs.run("sums", unit="hours", hour="14") as job:
        job.progress(1, 3)
        seen = JobRun.objects.get()
        assert (seen.state, seen.done, seen.total, seen.percent) == ("running", 1, 3, 33)
        job.progress(3, 3)
    row = JobRun.objects.get()
    assert (row.state, row.done, row.total, row.unit, row.percent) == ("done", 3, 3, "hours", 100)
    assert (row.arguments, row.correlation_id) == ({"hour": "14"}, "request-7")
    assert row.worker == workers.identity()
    assert row.started_at <= row.finished_at
    assert row.error_class == ""


def test_what_fails_is_kept_and_raised_on():
    with pytest.raises(ZeroDivisionError), jobs.run("sums"):
        _ = 1 / 0
    row = JobRun.objects.get()
    assert (row.state, row.error_class) == ("failed", "ZeroDivisionError")
    assert row.error_message == "division by zero"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (JobProblem("2 differ"), "2 differ"),
        (UpstreamTimedOut("total"), UpstreamTimedOut("total").message),
        (
            OSError("no way to postgres://ann:s3cret@db/x\nmore"),
            "no way to postgres://***@db/x",
        ),
        (ValueError("key cv_abcDEF123 is bad"), "key *** is bad"),
        (ValueError("digest " + "0123456789abcdef" * 4), "digest ***"),
        (ValueError(), ""),
    ],
)
def test_an_error_is_told_without_secrets(error, message):
    assert told(error) == (type(error).__name__, message)


def test_a_second_run_does_nothing_while_one_goes_on():
    with jobs.run("sums", hour="1"):
        with pytest.raises(NothingToDo), jobs.run("sums", hour="1"):
            raise AssertionError
        with jobs.run("sums", hour="2"), jobs.run("others", hour="1"):
            pass
    assert sorted(JobRun.objects.values_list("state", flat=True)) == ["done"] * 3
    with jobs.run("sums", hour="1"):
        pass


def test_a_row_that_waits_is_taken_by_the_next_run(sent, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True), correlation.within("click-1"):
        row = job_queue.enqueue("sums", "t.sums", {"hour": "1"})
    assert job_queue.enqueue("sums", "t.sums", {"hour": "1"}) is None
    [(name, more)] = sent
    assert (name, more["kwargs"]) == ("t.sums", {"hour": "1"})
    assert more["headers"] == {jobs.RUN_HEADER: row.pk, correlation.HEADER: "click-1"}
    with jobs.run("sums", waiting=row.pk, hour="1"):
        pass
    assert JobRun.objects.get().state == "done"
    assert JobRun.objects.get().correlation_id == "click-1"


def test_a_message_that_comes_again_does_nothing():
    row = job_queue.enqueue("sums", "t.sums")

    def again() -> None:
        with pytest.raises(NothingToDo), jobs.run("sums", waiting=row.pk):
            raise AssertionError

    with jobs.run("sums", waiting=row.pk):
        again()
    again()
    again()
    assert JobRun.objects.count() == 1


def test_the_message_of_a_dead_worker_starts_the_job_again():
    row = running(worker=dead())
    with jobs.run("sums", task="t.sums", waiting=row.pk):
        pass
    assert [(each.state, each.attempt) for each in JobRun.objects.order_by("pk")] == [
        ("lost", 1),
        ("done", 2),
    ]


def test_it_does_so_again_when_the_second_one_dies_too():
    first = running(state="lost")
    running(worker=dead(), attempt=2)
    with jobs.run("sums", task="t.sums", waiting=first.pk) as job:
        assert job.row.attempt == 3


def test_runs_of_dead_workers_are_found_and_started_again(sent, django_capture_on_commit_callbacks):
    gone = running(worker=dead(), correlation_id="request-7")
    silent = running(name="silent", heartbeat_at=clock.now() - timedelta(seconds=61))
    once = running(name="once", worker=dead(), is_resumable=False)
    alive = running(name="alive", worker=workers.identity())
    unseen = running(name="unseen")
    with django_capture_on_commit_callbacks(execute=True):
        assert job_queue.recover() == {"lost": 3, "resumed": 2, "sent_again": 0}
    lost = JobRun.objects.filter(state="lost")
    assert set(lost) == {gone, silent, once}
    assert {row.error_class for row in lost} == {"WorkerLost"}
    assert set(JobRun.objects.filter(state="running")) == {alive, unseen}
    waiting = JobRun.objects.filter(state="queued")
    assert {(row.name, row.correlation_id) for row in waiting} == {
        ("sums", "request-7"),
        ("silent", ""),
    }
    assert [name for name, _ in sent] == ["t.sums", "t.sums"]
    assert job_queue.recover() == {"lost": 0, "resumed": 0, "sent_again": 0}


def test_a_lost_message_is_sent_again(sent):
    old = clock.now() - timedelta(seconds=61)
    row = JobRun.objects.create(name="sums", task="t.sums", sent_at=old)
    JobRun.objects.create(name="young", task="t.sums", sent_at=clock.now())
    assert job_queue.recover()["sent_again"] == 1
    assert sent[0][1]["headers"] == {jobs.RUN_HEADER: row.pk}
    assert job_queue.recover()["sent_again"] == 0


def test_a_broker_that_is_gone_only_delays(monkeypatch):
    def send_task(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(job_queue, "_application", lambda: SimpleNamespace(send_task=send_task))
    row = JobRun.objects.create(name="sums", task="t.sums", sent_at=clock.now())
    assert job_queue.send(row) is False
    row.refresh_from_db()
    assert row.state == "queued"


def test_a_job_that_kills_its_workers_is_given_up_until_it_is_due_again():
    for number in range(jobs.MOST_ATTEMPTS):
        running(worker=dead(), attempt=number + 1)
        assert job_queue.recover()["lost"] == 1
        JobRun.objects.filter(state="queued").delete()
    with pytest.raises(NothingToDo), jobs.run("sums"):
        raise AssertionError
    last = JobRun.objects.first()
    assert (last.state, last.attempt) == ("failed", jobs.MOST_ATTEMPTS + 1)
    assert "5 workers died of it" in last.error_message
    with jobs.run("sums") as job:
        assert job.row.attempt == 1


def test_a_job_that_takes_too_long_stops_at_its_next_step(monkeypatch):
    now = clock.monotonic()
    with pytest.raises(JobOverdue), jobs.run("sums") as job:
        job.progress(1, 9)
        monkeypatch.setattr(clock, "monotonic", lambda: now + 86_400)
        job.progress(2, 9)
    assert "CHATVAULT_CELERY_TIME_LIMIT_S" in JobRun.objects.get().error_message


def test_a_worker_that_was_taken_for_dead_stops():
    with pytest.raises(JobTakenAway), jobs.run("sums") as job:
        JobRun.objects.update(heartbeat_at=clock.now() - timedelta(minutes=2))
        job_queue.recover()
        job.progress(1, 1)
    assert JobRun.objects.get(pk=job.row.pk).state == "lost"


def test_the_newest_run_of_each_job():
    rows = [running(name=name, state="done") for name in ("a", "b", "a")]
    assert set(JobRun.objects.latest_of_each()) == {rows[1], rows[2]}


def test_a_worker_knows_its_own_kind():
    own = workers.identity()
    assert not workers.is_known_dead(own)
    assert workers.is_known_dead(dead())
    assert not workers.is_known_dead("elsewhere/4026531836/1/1")
    assert not workers.is_known_dead("")
