"""Migrating and going back while the version before reads and writes (F42)."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from chatvault.lib.ids import uuid7
from tests.run.tree import ROOT, environment
from tests.servers.postgres import PostgresServer

ROWS = int(os.environ.get("CHATVAULT_TEST_ROWS", "20000"))
BEFORE, AFTER = "0003_kept_since", "0004_daily_partitions"
MAX_STALL_S = 1.0
pytestmark = pytest.mark.xdist_group("under-load")

# as the version before shipped its batches: without a word of partitions
INSERT = """
INSERT INTO usage_requestlog (request_id, started_at, team_id, client_id, key_id, team_name,
    client_name, key_name, alias, deployment_name, provider_name, operation, is_stream, outcome,
    http_status, error_code, usage_source, input_tokens, output_tokens, cached_input_tokens,
    cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, audio_input_tokens,
    audio_output_tokens, cost_nano, charged_nano, revision, attempts)
SELECT request_id, started_at, 1, 1, 1, 't', 'c', 'k', 'm', 'd', 'p', 'chat', false, 'ok', 200, '',
    'provider', 10, 5, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1
FROM json_to_recordset(%s::json) AS batch(request_id uuid, started_at timestamptz)
ON CONFLICT DO NOTHING RETURNING request_id
"""
ATTEMPT = (
    "INSERT INTO usage_attempt (request_id, number, deployment_id, started_at, error_code) "
    "SELECT request_id, 1, 1, started_at, '' "
    "FROM json_to_recordset(%s::json) AS batch(request_id uuid, started_at timestamptz)"
)
READS = (
    "SELECT * FROM usage_requestlog ORDER BY started_at DESC, id DESC LIMIT 50",
    "SELECT count(*) FROM usage_requestlog WHERE started_at > now() - interval '5 minutes'",
)


class Load:
    """Two writers and two readers on connections of their own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.written: set[uuid.UUID] = set()
        self.refused_twice = 0
        self.stalls = {"write": 0.0, "read": 0.0}
        self.errors: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._repeat, args=(name, work))
            for name, work in (("write", self._write), ("read", self._read)) * 2
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _repeat(self, name: str, work: Callable[[psycopg.Connection], None]) -> None:
        try:
            with psycopg.connect(self._url, options="-c statement_timeout=30s") as connection:
                while not self._stop.is_set():
                    began = time.monotonic()
                    work(connection)
                    self.stalls[name] = max(self.stalls[name], time.monotonic() - began)
                    time.sleep(0.01)
        except Exception as error:  # whatever it is, the test shows it
            self.errors.append(error)

    def _write(self, connection: psycopg.Connection) -> None:
        batch = [
            {"request_id": str(uuid7()), "started_at": datetime.now(UTC).isoformat()}
            for _ in range(20)
        ]
        with connection.transaction():
            made = connection.execute(INSERT, [json.dumps(batch)]).fetchall()
            connection.execute(ATTEMPT, [json.dumps(batch)])
        self.written |= {row[0] for row in made}
        with connection.transaction():  # a replay, as after an unknown commit
            self.refused_twice += len(batch)
            assert connection.execute(INSERT, [json.dumps(batch)]).fetchall() == []

    def _read(self, connection: psycopg.Connection) -> None:
        for statement in READS:
            connection.execute(statement).fetchall()
        connection.commit()


@pytest.fixture
def manage(own_postgres: PostgresServer, tmp_path: Path) -> Iterator[Callable[..., str]]:
    if not own_postgres.is_running:
        own_postgres.start()
    url = own_postgres.make_database("under_load")

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment(tmp_path, DATABASE_URL=url, CHATVAULT_SECRET_KEY="s" * 60),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    yield run


def test_a_migration_and_its_way_back_stop_nobody(manage, own_postgres):
    manage("migrate", "-v0")
    manage("migrate", "usage", BEFORE, "-v0")
    fill = [
        {
            "request_id": str(uuid7()),
            "started_at": (datetime.now(UTC) - timedelta(minutes=number)).isoformat(),
        }
        for number in range(ROWS)
    ]
    url = own_postgres.tcp_url("under_load")
    with psycopg.connect(url) as connection:
        connection.execute(INSERT, [json.dumps(fill)])
        connection.execute(ATTEMPT, [json.dumps(fill)])
    stalls = {}
    with Load(url) as load:
        for name, target in (("forward", AFTER), ("back", BEFORE), ("again", AFTER)):
            load.stalls = dict.fromkeys(load.stalls, 0.0)
            manage("migrate", "usage", target, "-v0")
            stalls[name] = max(load.stalls.values())
    print(f"{ROWS} rows, {len(load.written)} written meanwhile, longest stalls in s: {stalls}")
    assert load.errors == []
    (kind,) = own_postgres.execute(
        "SELECT relkind::text FROM pg_class WHERE relname = 'usage_requestlog'",
        database="under_load",
    )[0]
    assert kind == "p"
    for table in ("usage_requestlog", "usage_attempt"):
        (total, different) = own_postgres.execute(
            f"SELECT count(*), count(DISTINCT request_id) FROM {table}", database="under_load"
        )[0]
        assert total == different == ROWS + len(load.written)
    assert max(stalls["forward"], stalls["again"]) < MAX_STALL_S


def test_a_table_that_is_busy_is_waited_for_in_turns(manage, own_postgres):
    """A report holds its lock for 3 s: nobody queues behind the migration for longer than 1 s."""
    manage("migrate", "-v0")
    manage("migrate", "usage", BEFORE, "-v0")
    url = own_postgres.tcp_url("under_load")
    with psycopg.connect(url) as report, Load(url) as load:
        report.execute("SELECT count(*) FROM usage_requestlog")
        release = threading.Timer(6.0, report.commit)  # a command needs a while to begin
        release.start()
        said = manage("migrate", "usage", AFTER)
        release.join()
    assert "A table is busy" in said
    assert load.errors == []
    assert max(load.stalls.values()) < MAX_STALL_S + 1.0


def test_two_nodes_do_not_migrate_at_once(manage, monkeypatch):
    manage("migrate", "-v0")
    manage("migrate", "usage", "zero", "-v0")
    threads = [threading.Thread(target=manage, args=("migrate", "-v0")) for _ in range(2)]
    outcomes: list[BaseException] = []
    threading.excepthook, before = (
        (lambda told: outcomes.append(told.exc_value)),
        threading.excepthook,
    )
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        threading.excepthook = before
    assert outcomes == []
    assert "No migrations to apply" in manage("migrate")
