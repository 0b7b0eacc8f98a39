"""The self-audit: what a run keeps, what its page shows, and what its buttons put right."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.audit.models import AuditEvent
from apps.billing.models import Budget, BudgetWindow
from apps.configuration import job_queue, jobs
from apps.configuration.job_errors import JobProblem
from apps.configuration.models import JobRun
from apps.providers.adapters.contract import Usage
from apps.usage import repair, self_audit
from apps.usage.models import HourlyRollup, LedgerCheck, RequestLog
from apps.usage.tasks import recompute_sums, verify_ledger
from chatvault.lib.ids import uuid7_bytes
from tests.factories import make_person, make_user
from tests.usage.samples import intent, settle, start

LIST = reverse("admin:usage_ledgercheck_changelist")
RUN = reverse("admin:usage_ledgercheck_run")
PROGRESS = reverse("admin:usage_ledgercheck_progress")
HOUR = datetime(2026, 9, 21, 14, tzinfo=UTC)


@pytest.fixture
def booked(world, monkeypatch):
    monkeypatch.setattr(job_queue, "send", lambda row: True)
    Budget.objects.create(team_id=31, amount_nano=10**9, period="month")
    for _ in range(3):
        one = uuid7_bytes()
        paid = {"cost_nano": 450_000, "charged_nano": 450_000}
        usage = Usage(input_tokens=1000, output_tokens=500)
        world.write_dead(intent(one), start(one), settle(one, usage=usage, **paid))
    world.ingest()
    return world


@pytest.fixture
def browser(db) -> Browser:
    browser = Browser()
    browser.force_login(make_user(username="ada", is_staff=True, is_superuser=True))
    return browser


def wrong(check: LedgerCheck) -> dict[str, int]:
    return {each["code"]: each["differences"] for each in check.findings if each["differences"]}


def damage() -> None:
    HourlyRollup.objects.update(requests=6)
    BudgetWindow.objects.update(settled_nano=1)


def work() -> None:
    row = JobRun.objects.get(state=JobRun.State.QUEUED)
    message = type("Message", (), {"request": type("Request", (), {jobs.RUN_HEADER: row.pk})})
    verify_ledger.run.__func__(message)


def test_a_run_keeps_what_it_checked(booked):
    check = self_audit.run()
    assert (check.is_clean, check.differences, check.asked_by) == (True, 0, "")
    by_code = {each["code"]: each["checked"] for each in check.findings}
    assert {"charged": 3, "rollups": 1, "budgets": 1, "formula": 3}.items() <= by_code.items()
    assert check.checks == len(check.findings)


def test_a_job_with_differences_keeps_them_and_fails(booked):
    damage()
    self_audit.ask("ada")
    with pytest.raises(JobProblem, match="rollups equal the rows of their hour: 1"):
        work()
    check = LedgerCheck.objects.get()
    assert wrong(check) == {"rollups": 1, "budgets": 1}
    run = JobRun.objects.get()
    assert (run.state, run.done > 5) == ("failed", True)


def test_it_is_asked_for_once_and_by_name(booked, browser):
    assert browser.post(RUN).status_code == 302
    told = browser.post(RUN, follow=True).content.decode()
    assert "waits for a worker already" in told
    assert "every 2s" in told
    assert "HX-Refresh" not in browser.get(PROGRESS)
    work()
    assert browser.get(PROGRESS)["HX-Refresh"] == "true"
    assert LedgerCheck.objects.get().asked_by == "ada"
    self_audit.run()
    assert LedgerCheck.objects.first().asked_by == ""


def test_all_sums_are_computed_anew_by_a_button(booked, browser):
    damage()
    HourlyRollup.objects.update(user_id=0, output_tokens=1)
    stray = HourlyRollup.objects.get()
    stray.pk, stray.hour = None, HOUR - timedelta(days=2)
    stray.save()
    told = browser.post(RUN, {"what": "sums"}, follow=True).content.decode()
    assert "computed anew" in told
    row = JobRun.objects.get(state=JobRun.State.QUEUED)
    assert row.name == "recompute-sums"
    message = type("Message", (), {"request": type("Request", (), {jobs.RUN_HEADER: row.pk})})
    recompute_sums.run.__func__(message)
    run = JobRun.objects.get()
    assert (run.state, run.done, run.total) == ("done", 49, 49)
    assert HourlyRollup.objects.count() == 1
    assert wrong(self_audit.run()) == {"budgets": 1}
    assert AuditEvent.objects.filter(action="ledger.sums_asked", actor="ada").count() == 1


def test_the_page_shows_each_check_with_examples(booked, browser):
    damage()
    RequestLog.objects.update(charged_nano=7)
    check = self_audit.run()
    html = browser.get(reverse("admin:usage_ledgercheck_change", args=[check.pk])).content.decode()
    one = RequestLog.objects.latest("pk").request_id
    assert f"{reverse('admin:billing_ledgerentry_changelist')}?q={one}" in html
    for text in ("Rollups equal the rows of their hour", "Compute it again", "in the ledger"):
        assert text in html


def test_the_list_tells_the_verdicts_in_few_queries(booked, browser):
    for _ in range(2):
        self_audit.run()
    damage()
    self_audit.run()
    with CaptureQueriesContext(
        connection,
    ) as few:
        html = browser.get(LIST).content.decode()
    for _ in range(5):
        self_audit.run()
    with CaptureQueriesContext(connection) as many:
        browser.get(LIST)
    assert html.count("Everything agrees") >= 2
    assert "Differences" in html
    assert len(many) == len(few)


@pytest.mark.parametrize("kind", ["hour", "budget"])
def test_a_difference_is_put_right_and_told(booked, browser, kind):
    damage()
    check = self_audit.run()
    [ref] = [
        example["ref"]
        for finding in check.findings
        for example in finding["examples"]
        if example["kind"] == kind
    ]
    url = reverse("admin:usage_ledgercheck_repair", args=[check.pk])
    told = browser.post(url, {"kind": kind, "ref": ref}, follow=True).content.decode()
    assert {"hour": "made from its rows", "budget": "says $0.00135 now"}[kind] in told
    left = {"hour": {"budgets": 1}, "budget": {"rollups": 1}}[kind]
    assert wrong(self_audit.run()) == left
    action = {"hour": "ledger.hour_recomputed", "budget": "ledger.window_recomputed"}[kind]
    assert AuditEvent.objects.filter(action=action, actor="ada").count() == 1


@pytest.mark.parametrize(
    ("kind", "ref"),
    [
        ("hour", HOUR.isoformat()),
        ("budget", "1 5"),
        ("request", "x"),
        ("", ""),
    ],
)
def test_only_what_was_found_is_put_right(booked, browser, kind, ref):
    check = self_audit.run()
    url = reverse("admin:usage_ledgercheck_repair", args=[check.pk])
    told = browser.post(url, {"kind": kind, "ref": ref}, follow=True).content.decode()
    assert "found no such difference" in told


@pytest.mark.parametrize(
    ("kind", "ref"),
    [
        ("hour", "2026-09-21T14:30:00+00:00"),
        ("hour", "2026-09-21T14:00:00"),
        ("hour", "9999-09-21T14:00:00+00:00"),
        ("hour", "now"),
        ("budget", "1"),
        ("budget", "x 1"),
        ("budget", "999 1"),
        ("request", "1"),
    ],
)
def test_what_is_no_sum_is_not_repaired(booked, kind, ref):
    with pytest.raises(repair.NotRepairable):
        repair.repair(kind, ref)


def test_whoever_may_only_read_has_no_buttons(booked):
    self_audit.run()
    browser = Browser()
    browser.force_login(make_person("auditor"))
    html = browser.get(LIST).content.decode()
    assert "Everything agrees" in html
    assert "Run now" not in html
    assert browser.post(RUN).status_code == 403
    url = reverse("admin:usage_ledgercheck_repair", args=[LedgerCheck.objects.get().pk])
    assert browser.post(url).status_code == 403
