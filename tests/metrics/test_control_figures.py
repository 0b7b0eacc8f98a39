"""Figures of the control plane: right, in a fixed number of queries, and never waited for long."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError

from apps.configuration.models import JobRun
from apps.providers.models import Probe
from apps.usage import control_figures, partitions
from apps.usage.reading_figures import MAX_AGE_S, DatabaseReader
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, single
from chatvault.lib.metrics.text import render
from tests.factories import make_budget, make_ledger_entry, make_world
from tests.metrics.folk import samples

ONE = Family("one", "gauge", "One.")


def _told() -> dict[str, float]:
    return samples(render(control_figures.read_all()))


@pytest.mark.django_db
def test_what_it_tells_of_budgets():
    world = make_world()
    tight = make_budget(client=world.client, amount_nano=10_000_000_000, period="total")
    make_budget(key=world.key, amount_nano=100_000_000_000, period="total")
    make_ledger_entry(
        client_id=world.client.pk, team_id=world.client.team_id, key_id=world.key.pk,
        amount_nano=-9_600_000_000, booked_at=tight.created_at,
    )  # fmt: skip
    told = _told()
    labels = f'budget="{tight.pk}",scope="client",period="total"'
    assert told[f"chatvault_budget_used_ratio{{{labels}}}"] == 0.96
    assert told[f"chatvault_budget_amount_usd{{{labels}}}"] == 10
    assert told[f"chatvault_budget_spent_usd{{{labels}}}"] == 9.6
    for bound, count in (("0.8", 1), ("0.95", 1), ("1", 0)):
        assert told[f'chatvault_budgets{{at_least="{bound}"}}'] == count
    assert told['chatvault_objects{kind="key"}'] == 1


@pytest.mark.django_db
def test_many_rows_cost_no_more_queries(django_assert_max_num_queries):
    make_budget()
    with django_assert_max_num_queries(23) as few:
        _told()
    for _ in range(control_figures.TIGHTEST + 4):
        make_budget()
    with django_assert_max_num_queries(23) as many:
        told = _told()
    assert len(many) == len(few)
    used = [name for name in told if name.startswith("chatvault_budget_used_ratio")]
    assert len(used) == control_figures.TIGHTEST


@pytest.mark.django_db
def test_what_it_tells_of_jobs_and_of_the_ledger():
    now = clock.now()
    ended = {"started_at": now - timedelta(seconds=5), "finished_at": now}
    JobRun.objects.create(name="verify-ledger", state="done", **ended)
    JobRun.objects.create(name="verify-ledger", state="failed", **ended)
    JobRun.objects.create(name="tidy", state="done", **ended)
    JobRun.objects.create(name="tidy", state="running", started_at=now)
    JobRun.objects.create(name="waits", state="queued")
    told = _told()
    assert told['chatvault_job_last_run_failed{name="verify-ledger"}'] == 1
    assert told['chatvault_job_last_run_failed{name="tidy"}'] == 0
    assert told['chatvault_job_last_duration_seconds{name="tidy"}'] == 5
    at = told['chatvault_job_last_success_timestamp_seconds{name="verify-ledger"}']
    assert at == pytest.approx(now.timestamp())
    assert told["chatvault_ledger_check_failed"] == 1
    assert told["chatvault_ledger_check_timestamp_seconds"] == pytest.approx(now.timestamp())
    assert told['chatvault_job_runs{state="queued"}'] == 1
    assert told['chatvault_job_runs{state="running"}'] == 1
    assert told["chatvault_job_oldest_queued_age_seconds"] < 60


@pytest.mark.django_db
def test_what_it_tells_of_probes():
    world = make_world()
    now = clock.now()
    old = {"deployment": world.deployment, "kind": "listed", "at": now - timedelta(hours=1)}
    Probe.objects.create(**old, is_ok=True, latency_ms=10)
    Probe.objects.create(**old | {"at": now}, is_ok=False, latency_ms=250)
    told = _told()
    labels = f'deployment="{world.deployment.name}",provider="{world.provider.name}"'
    assert told[f"chatvault_probe_success{{{labels}}}"] == 0
    assert told[f"chatvault_probe_duration_seconds{{{labels}}}"] == 0.25
    assert told[f"chatvault_probe_timestamp_seconds{{{labels}}}"] == pytest.approx(now.timestamp())


@pytest.mark.django_db
def test_what_it_tells_of_the_database():
    told = _told()
    assert told["chatvault_database_size_bytes"] >= 0
    assert told['chatvault_error_groups{state="open"}'] == 0
    if partitions.are_used():
        assert told['chatvault_partition_days_ahead{table="requestlog"}'] >= 0


@pytest.mark.django_db(transaction=True)
def test_a_database_that_hangs_is_not_waited_for():
    hangs = threading.Event()

    def read():
        hangs.wait(10)
        yield ONE, single(1)

    reader = DatabaseReader(read, patience_s=0.05)
    began = time.monotonic()
    for _ in range(3):
        assert samples(render(reader())) == {"chatvault_control_plane_up": 0}
    assert time.monotonic() - began < 2
    hangs.set()
    deadline = time.monotonic() + 5
    while samples(render(reader())).get("one") != 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    told = samples(render(reader()))
    assert (told["one"], told["chatvault_control_plane_up"]) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_it_is_asked_at_most_every_15_s_and_what_it_said_is_told_meanwhile(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("chatvault.lib.clock.monotonic", lambda: now[0])
    asked: list[float] = []

    def read():
        asked.append(now[0])
        if len(asked) == 2:
            raise OperationalError("away")
        yield ONE, single(len(asked))

    reader = DatabaseReader(read)
    for _ in range(3):
        assert samples(render(reader()))["one"] == 1
    now[0] += MAX_AGE_S
    told = samples(render(reader()))
    assert (told["one"], told["chatvault_control_plane_up"]) == (1, 0)
    assert told["chatvault_control_plane_age_seconds"] == MAX_AGE_S
    told = samples(render(reader()))
    assert (told["one"], told["chatvault_control_plane_up"]) == (3, 1)
    assert len(asked) == 3


@pytest.mark.django_db(transaction=True)
def test_what_is_too_old_is_no_longer_told(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("chatvault.lib.clock.monotonic", lambda: now[0])
    asked: list[float] = []

    def read():
        asked.append(now[0])
        if len(asked) > 1:
            raise OperationalError("away")
        yield ONE, single(1)

    reader = DatabaseReader(read)
    assert samples(render(reader()))["one"] == 1
    now[0] += 301
    assert samples(render(reader())) == {"chatvault_control_plane_up": 0}
