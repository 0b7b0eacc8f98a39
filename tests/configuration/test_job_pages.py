"""The pages of job runs and of the timetable."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from django_celery_beat.models import PeriodicTask

from apps.configuration import job_health, job_queue, timetable
from apps.configuration.admin.job_runs import duration_text
from apps.configuration.models import JobRun
from chatvault.lib import clock
from chatvault.lib.timetable import Daily, Every, Job
from tests.factories import make_person, make_user

pytestmark = pytest.mark.django_db

RUNS = reverse("admin:configuration_jobrun_changelist")
TIMETABLE = reverse("admin:configuration_scheduledjob_changelist")
FILE = {
    "sums": Job("t.sums", Every(3600), "Adds up."),
    "nightly": Job("t.nightly", Daily(3, 10), "Looks closely."),
}


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr(job_queue, "send", lambda row: True)


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(make_user(is_staff=True, is_superuser=True))
    return browser


def browser_of(role: str) -> Browser:
    browser = Browser()
    browser.force_login(make_person(role))
    return browser


def ran(name: str = "sums", state: str = "done", **more: object) -> JobRun:
    now = clock.now()
    times = {"started_at": now - timedelta(seconds=75), "heartbeat_at": now, "finished_at": now}
    return JobRun.objects.create(**{"name": name, "state": state, **times, **more})


def page_of(name: str) -> str:
    row = PeriodicTask.objects.get(name=name)
    return reverse("admin:configuration_scheduledjob_change", args=[row.pk])


def test_a_page_of_runs_costs_a_fixed_number_of_queries(browser):
    ran()
    browser.get(RUNS)
    with CaptureQueriesContext(connection) as few:
        browser.get(RUNS)
    for number in range(99):
        ran(f"job-{number}", done=number, total=100, unit="hours", error_class="E")
    with CaptureQueriesContext(connection) as many:
        assert len(browser.get(RUNS).context["cl"].result_list) == 50
    assert len(many) == len(few) <= 8


def test_a_run_shows_how_far_it_is_and_what_went_wrong(browser):
    run = ran(state="failed", done=3, total=4, unit="hours", error_class="DataError")
    JobRun.objects.filter(pk=run.pk).update(error_message="<b>no</b>", correlation_id="req-7")
    html = browser.get(RUNS).content.decode()
    for text in ("3 of 4 hours", "cv-w75", "1 min 15 s", "DataError: &lt;b&gt;no", "Failed"):
        assert text in html
    page = browser.get(reverse("admin:configuration_jobrun_change", args=[run.pk]))
    assert "req-7" in page.content.decode()
    assert "(&#x27;failed" not in page.content.decode()


@pytest.mark.parametrize(
    ("query", "found"),
    [("state=failed", {"b"}), ("name=a", {"a"}), ("q=req-7", {"a"}), ("q=Data", {"b"})],
)
def test_runs_are_found(browser, query, found):
    ran("a", correlation_id="req-7")
    ran("b", state="failed", error_class="DataError")
    rows = browser.get(f"{RUNS}?{query}").context["cl"].result_list
    assert {row.name for row in rows} == found


def test_nobody_edits_runs(browser):
    run = ran()
    url = reverse("admin:configuration_jobrun_change", args=[run.pk])
    assert browser.post(url, {"name": "x"}).status_code == 403
    assert browser.post(url.replace("change", "delete"), {"post": "yes"}).status_code == 403


def test_the_timetable_costs_a_fixed_number_of_queries(browser):
    timetable.sync(FILE)
    browser.get(TIMETABLE)
    with CaptureQueriesContext(connection) as few:
        browser.get(TIMETABLE)
    timetable.sync({f"j{n}": Job("t.t", Daily(n % 24, n % 60), "Does.") for n in range(40)})
    for number in range(40):
        ran(f"j{number}")
    with CaptureQueriesContext(connection) as many:
        assert len(browser.get(TIMETABLE).context["cl"].result_list) == 40
    assert len(many) == len(few) <= 8


def test_the_timetable_says_when_and_how_the_last_run_ended(browser):
    timetable.sync(FILE)
    timetable.move(row=PeriodicTask.objects.get(name="sums"), when=Every(900))
    ran("sums", state="done")
    ran("sums", state="failed")
    html = browser.get(TIMETABLE).content.decode()
    for text in ("every 15 minutes", "the file: every hour", "daily at 03:10 UTC", "Failed"):
        assert text in html
    assert "none yet" in html


@pytest.mark.parametrize(
    ("given", "when"),
    [
        ({"every": "15", "unit": "minutes"}, Every(900)),
        ({"every": "2", "unit": "days"}, Every(172_800)),
        ({"at": "04:30"}, Daily(4, 30)),
        ({"at": "00:00"}, Daily(0, 0)),
    ],
)
def test_a_job_gets_another_time(browser, given, when):
    timetable.sync(FILE)
    answer = browser.post(page_of("sums"), {"enabled": "on", **given})
    assert answer.status_code == 302
    row = PeriodicTask.objects.get(name="sums")
    assert (timetable.when_of(row), row.enabled) == (when, True)
    timetable.sync(FILE)
    assert timetable.when_of(PeriodicTask.objects.get(name="sums")) == when


@pytest.mark.parametrize("given", [{}, {"every": "5", "unit": "hours", "at": "04:30"}])
def test_one_of_the_two_is_given(browser, given):
    timetable.sync(FILE)
    answer = browser.post(page_of("sums"), {"enabled": "on", **given})
    assert "Give either an interval or a time of day." in answer.content.decode()
    assert timetable.when_of(PeriodicTask.objects.get(name="sums")) == Every(3600)


def test_the_form_begins_with_what_is(browser):
    timetable.sync(FILE)
    html = browser.get(page_of("sums")).content.decode()
    assert 'name="every" value="1"' in html
    assert '<option value="hours" selected>' in html
    assert 'value="03:10"' in browser.get(page_of("nightly")).content.decode()
    assert "every hour" in html


def test_a_job_is_run_now_from_its_page(browser):
    timetable.sync(FILE)
    name = "configuration_scheduledjob_run_one"
    browser.post(page_of("sums"), {"enabled": "on", "every": "1", "unit": "hours", name: "1"})
    run = JobRun.objects.get()
    assert (run.name, run.task, run.state) == ("sums", "t.sums", "queued")


def test_jobs_are_run_paused_and_restored_from_the_list(browser):
    timetable.sync(FILE)
    keys = list(PeriodicTask.objects.values_list("pk", flat=True))

    def act(action: str) -> None:
        data = {"action": action, "_selected_action": keys}
        assert browser.post(TIMETABLE, data).status_code == 302

    act("run_selected")
    act("run_selected")
    assert sorted(JobRun.objects.values_list("name", flat=True)) == ["nightly", "sums"]
    act("pause_selected")
    assert not PeriodicTask.objects.filter(enabled=True).exists()
    act("continue_selected")
    assert not PeriodicTask.objects.filter(enabled=False).exists()
    timetable.move(row=PeriodicTask.objects.get(name="sums"), when=Every(60))
    act("restore_selected")
    assert timetable.when_of(PeriodicTask.objects.get(name="sums")) == Every(3600)


def test_who_may_only_look_changes_nothing():
    timetable.sync(FILE)
    browser = browser_of("auditor")
    assert browser.get(TIMETABLE).status_code == browser.get(page_of("sums")).status_code == 200
    data = {"enabled": "on", "every": "5", "unit": "minutes"}
    assert browser.post(page_of("sums"), data).status_code == 403
    key = PeriodicTask.objects.get(name="sums").pk
    browser.post(TIMETABLE, {"action": "run_selected", "_selected_action": [key]})
    assert not JobRun.objects.exists()
    assert browser_of("viewer").get(RUNS).status_code == 403


@pytest.mark.parametrize("model", ["intervalschedule", "crontabschedule", "solarschedule"])
def test_times_that_jobs_share_have_no_page(model):
    with pytest.raises(NoReverseMatch):
        reverse(f"admin:django_celery_beat_{model}_changelist")


def test_jobs_that_went_wrong_are_told_on_the_home_page(browser):
    ran("well", state="failed")
    ran("well")
    ran("ill")
    ran("ill", state="failed", error_message="2 differ", error_class="JobProblem")
    ran("gone", state="lost")
    ran("gone", state="running", finished_at=None)
    JobRun.objects.create(name="late", state="queued")
    JobRun.objects.update(created_at=clock.now() - timedelta(minutes=6))
    assert job_health.problems() == [
        "gone was lost with its worker.",
        "ill failed: 2 differ",
        "A job waits for a worker since more than 5 minutes.",
    ]
    html = browser.get(reverse("admin:index")).content.decode()
    assert 'id="job-problems"' in html
    assert "ill failed: 2 differ" in html


def test_nothing_is_told_while_all_is_well(browser):
    ran("well", state="failed")
    ran("well")
    assert job_health.problems() == []
    assert "job-problems" not in browser.get(reverse("admin:index")).content.decode()


def test_durations_are_told():
    told = [duration_text(timedelta(seconds=s)) for s in (0.42, 12, 185, 7440)]
    assert told == ["0.4 s", "12 s", "3 min 5 s", "2 h 4 min"]
    assert duration_text(None) == "–"
