"""Ingest while PostgreSQL is killed, locked, read-only, full, or silent at the commit (F22-F25)."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import Error, connection

from apps.billing.models import LedgerEntry
from apps.usage.models import RequestLog
from chatvault.lib import clock
from chatvault.lib.ids import uuid7_bytes
from tests.fakes.faultproxy import FaultProxy, Toxics
from tests.servers.postgres import PostgresServer
from tests.usage.deployed import Deployed, seed
from tests.usage.samples import intent, settle, start
from tests.usage.test_killed_processes import Oracle, plain, wait_until
from tests.usage.world import World

COMMITS = int(os.environ.get("CHATVAULT_TEST_COMMITS", "60"))
KILLS = 3

transactional = pytest.mark.django_db(transaction=True)


def write(world: World, count: int = 3) -> set[bytes]:
    """A segment of a dead process; returns the ids of its requests."""
    made, records, at_ms = set(), [], int(clock.wall_s() * 1000)
    for _ in range(count):
        one = uuid7_bytes()
        made.add(one)
        records += [intent(one, at_ms=at_ms), start(one, at_ms=at_ms), settle(one, at_ms=at_ms)]
    world.write_dead(*records)
    return made


def booked_once(expected: set[bytes]) -> None:
    rows = [row.bytes for row in RequestLog.objects.values_list("request_id", flat=True)]
    charges = LedgerEntry.objects.filter(account="client").values_list("request_id", flat=True)
    assert sorted(rows) == sorted(one.bytes for one in charges) == sorted(expected)


@pytest.fixture
def line(faultproxy, postgres_server: PostgresServer, monkeypatch) -> Iterator[FaultProxy]:
    """Django's connection goes through it."""
    proxy = faultproxy.to("127.0.0.1", postgres_server.port)
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "PORT", str(proxy.port))
    yield proxy
    proxy.heal()
    connection.close()


@transactional
def test_a_commit_whose_outcome_is_unknown_is_booked_once(line, world):
    """The line breaks just before the server gets COMMIT, or just before we get its answer."""
    chance, expected, failed = random.Random(24), set(), 0
    for _ in range(COMMITS):
        expected |= write(world)
        toxic = chance.choice(("cuts_before", "swallows_answer_to"))
        line.toxics = Toxics(**{toxic: b"COMMIT"})
        with pytest.raises(Error):
            world.ingest()
        failed += 1
        line.heal()
        connection.close()
        world.ingest()
    assert line.cut + line.swallowed == failed == COMMITS
    booked_once(expected)  # lost 0, dup 0
    assert world.is_balanced()
    assert world.segments() == []


@transactional
def test_a_lock_that_others_hold_only_makes_ingest_wait(world, postgres_server):
    expected = write(world)
    name = str(connection.settings_dict["NAME"])
    with psycopg.connect(postgres_server.tcp_url(name)) as other:
        other.execute("LOCK TABLE usage_requestlog, billing_ledgerentry IN ACCESS EXCLUSIVE MODE")
        release = threading.Timer(0.7, other.commit)
        release.start()
        began = time.monotonic()
        assert world.ingest() == len(expected)
        assert time.monotonic() - began > 0.5
        release.join()
    booked_once(expected)


@transactional
def test_a_database_that_is_read_only_loses_nothing(world, postgres_server):
    name = str(connection.settings_dict["NAME"])
    expected = write(world)
    connection.close()
    postgres_server.make_read_only(name)
    try:
        for _ in range(3):
            with pytest.raises(Error, match="read-only"):
                world.ingest()
            connection.close()
        assert len(world.segments()) == 1
    finally:
        postgres_server.make_read_only(name, is_so=False)
    world.ingest()
    booked_once(expected)


@transactional
def test_a_full_disk_loses_nothing(world, postgres_server):
    limit = 17 << 20
    name = f"usage_attempt_p{clock.now():%Y%m%d}"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} (request_id, number, deployment_id, started_at, error_code) "
            "SELECT gen_random_uuid(), 1, 1, now(), repeat('x', 60) "
            "FROM generate_series(1, 140000)"
        )
        cursor.execute(f"SELECT pg_relation_size('{name}')")
        assert cursor.fetchone()[0] > limit
    expected = write(world, count=200)
    connection.close()
    postgres_server.limit_files(limit)
    try:
        with pytest.raises(Error, match="could not extend"):
            world.ingest()
        assert len(world.segments()) == 1
    finally:
        postgres_server.limit_files(-1)
    connection.close()
    world.ingest()
    booked_once(expected)


@pytest.fixture
def deployed(own_postgres: PostgresServer, tmp_path: Path) -> Iterator[Deployed]:
    if not own_postgres.is_running:
        own_postgres.start()
    own_postgres.make_database("killed")
    url = own_postgres.tcp_url("killed")
    seed(tmp_path, url)
    made = Deployed(tmp_path, url)
    yield made
    made.stop()


@pytest.mark.xdist_group("killed-postgres")
def test_a_server_that_is_killed_and_paused_loses_nothing(deployed, own_postgres):
    oracle, chance = Oracle(), random.Random(22)
    ingest = deployed.ingest()
    for round_ in range(KILLS):
        writer = deployed.writer(round_)
        wait_until((deployed.journal / "ingest.json").exists)
        time.sleep(chance.uniform(0.2, 0.5))
        own_postgres.pause()
        time.sleep(0.2)
        own_postgres.kill()
        oracle.hear(writer, lines=chance.randrange(100, 200))
        own_postgres.start()
    wait_until(
        lambda: deployed.query("SELECT count(*) FROM usage_requestlog")[0][0] >= len(oracle.acked)
    )
    ingest.send_signal(signal.SIGTERM)
    assert ingest.wait(30) == 0
    assert deployed.manage("ingest", "--once").returncode == 0
    rows = deployed.query("SELECT request_id, charged_nano FROM usage_requestlog")
    charged = {plain(request_id): nano for request_id, nano in rows}
    assert len(charged) == len(rows)  # dup 0
    assert {one: charged[one] for one in oracle.acked} == oracle.acked  # lost 0
    assert oracle.begun <= charged.keys()
    verdict = deployed.manage("verify_ledger")
    assert verdict.returncode == 0, verdict.stdout
