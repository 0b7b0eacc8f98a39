"""The file owns the jobs, admins own their times, and the file's time comes back when asked."""

import pytest
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from apps.configuration import job_queue, timetable
from apps.configuration.models import JobRun
from chatvault.beat import TIMETABLE
from chatvault.lib.timetable import Daily, Every, Job, read, write

pytestmark = pytest.mark.django_db

FILE = {
    "sums": Job("t.sums", Every(3600), "Adds up."),
    "nightly": Job("t.nightly", Daily(3, 10), "Looks closely."),
    "watch": Job("t.watch", Every(60), "Watches.", is_recorded=False),
}


def row(name: str) -> PeriodicTask:
    return PeriodicTask.objects.get(name=name)


def test_the_file_comes_into_the_database_and_twice_changes_nothing():
    timetable.sync(FILE)
    assert {each.name: timetable.when_of(each) for each in PeriodicTask.objects.all()} == {
        "sums": Every(3600),
        "nightly": Daily(3, 10),
        "watch": Every(60),
    }
    assert (row("sums").task, row("sums").description) == ("t.sums", "Adds up.")
    assert (row("sums").expire_seconds, row("watch").expire_seconds) == (None, 60)
    changed = PeriodicTasks.last_change()
    timetable.sync(FILE)
    assert PeriodicTasks.last_change() == changed


def test_what_an_admin_changed_stays_and_the_rest_follows_the_file():
    timetable.sync(FILE)
    timetable.move(row=row("sums"), when=Daily(5, 0))
    timetable.pause(row=row("nightly"), is_paused=True)
    newer = {
        "sums": Job("t.sums2", Every(7200), "Adds up better."),
        "nightly": Job("t.nightly", Daily(4, 0), "Looks closely."),
    }
    timetable.sync(newer)
    assert (timetable.when_of(row("sums")), row("sums").task) == (Daily(5, 0), "t.sums2")
    assert timetable.is_changed(row("sums"))
    assert (timetable.when_of(row("nightly")), row("nightly").enabled) == (Daily(4, 0), False)
    assert not PeriodicTask.objects.filter(name="watch").exists()


def test_the_files_time_is_restored():
    timetable.sync(FILE)
    timetable.move(row=row("sums"), when=Every(60))
    timetable.pause(row=row("sums"), is_paused=True)
    assert timetable.restore(row=row("sums")) is True
    assert (timetable.when_of(row("sums")), row("sums").enabled) == (Every(3600), True)
    assert timetable.restore(row=row("sums")) is False


def test_rows_that_are_not_of_the_file_go():
    timetable.sync(FILE)
    stranger = row("sums")
    stranger.pk, stranger.name = None, "by hand"
    stranger.save()
    timetable.sync(FILE)
    assert not PeriodicTask.objects.filter(name="by hand").exists()


def test_run_now_waits_once():
    timetable.sync(FILE)
    assert timetable.run_now(row=row("sums")) is True
    assert timetable.run_now(row=row("sums")) is False
    assert JobRun.objects.get().name == "sums"


def test_run_now_of_a_job_without_rows_is_a_message_alone(monkeypatch):
    sent = []
    monkeypatch.setattr(job_queue, "send_task", lambda task, **more: sent.append(task) or True)
    timetable.sync(FILE)
    assert timetable.run_now(row=row("watch")) is True
    assert sent == ["t.watch"]
    assert not JobRun.objects.exists()


@pytest.mark.parametrize("when", [Every(60), Every(5400), Daily(0, 0), Daily(23, 59)])
def test_a_time_is_written_so_that_it_is_read_again(when):
    assert read(write(when)) == when


@pytest.mark.parametrize("text", ["", "every", "every 0", "daily 3", "hourly 1", "every 1:2:3"])
def test_rubbish_is_no_time(text):
    assert read(text) is None


def test_times_are_told_in_words():
    told = [str(each) for each in (Every(3600), Every(900), Every(172_800), Daily(3, 5))]
    assert told == ["every hour", "every 15 minutes", "every 2 days", "daily at 03:05 UTC"]


def test_every_job_has_its_sentence():
    assert all(job.purpose.endswith(".") and len(job.purpose) < 200 for job in TIMETABLE.values())
