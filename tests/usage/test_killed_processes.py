"""Real processes, killed at random: what was acknowledged is in the ledger once (F16, F24)."""

import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.servers.postgres import PostgresServer
from tests.usage.deployed import Deployed, seed

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def seeded_home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("seeded")
    seed(home)
    return home


@pytest.fixture(scope="module")
def seeded_url(tmp_path_factory, postgres_server: PostgresServer) -> str:
    url = postgres_server.make_database("seeded")
    seed(tmp_path_factory.mktemp("seeded"), url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def deployed(request, tmp_path: Path) -> Iterator[Deployed]:
    if request.param == "postgresql":
        request.getfixturevalue("seeded_url")
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS killed WITH (FORCE)")
            connection.execute("CREATE DATABASE killed TEMPLATE seeded")
        made = Deployed(tmp_path, server.url("killed"))
    else:
        home: Path = request.getfixturevalue("seeded_home")
        shutil.copy(home / "chatvault.sqlite3", tmp_path)
        made = Deployed(tmp_path)
    yield made
    made.stop()


class Oracle:
    """What writers said on their standard output."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self.acked: dict[str, int] = {}

    def hear(self, writer: subprocess.Popen[str], lines: int) -> None:
        """Kill a writer without warning when it has said so much; take down what it said."""
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.readlines()
        writer.wait()
        for line in said:
            if not line.endswith("\n"):
                continue
            word, request_id, charged = line.split()
            if word == "begun":
                self.begun.add(request_id)
            else:
                self.acked[request_id] = int(charged)


def test_every_acknowledged_request_is_in_the_ledger_once(deployed):
    oracle, chance = Oracle(), random.Random(20)
    ingest = deployed.ingest()
    for round_ in range(6):
        oracle.hear(deployed.writer(round_), lines=chance.randrange(60, 160))
        if round_ % 3 == 1:
            ingest.send_signal(signal.SIGKILL)
            ingest.wait()
            ingest = deployed.ingest()
        if deployed.environment["DATABASE_URL"]:
            break_connections(deployed)
    (deployed.journal / "ingest.json").unlink(missing_ok=True)
    wait_until((deployed.journal / "ingest.json").exists)
    ingest.send_signal(signal.SIGTERM)
    assert ingest.wait(30) == 0
    assert deployed.manage("ingest", "--once").returncode == 0

    rows = deployed.query("SELECT request_id, outcome, charged_nano FROM usage_requestlog")
    charges = {plain(row[0]): row[2] for row in rows}
    outcomes = {plain(row[0]): row[1] for row in rows}
    entries = deployed.query(
        "SELECT request_id, amount_nano FROM billing_ledgerentry WHERE account = 'client'"
    )
    ledger = [(plain(row[0]), -row[1]) for row in entries]
    assert len(oracle.acked) >= 6 * 30
    assert {key: charges[key] for key in oracle.acked} == oracle.acked  # lost 0
    assert sorted(ledger) == sorted(charges.items())  # dup 0
    assert oracle.begun <= charges.keys()
    interrupted = [key for key, outcome in outcomes.items() if outcome == "interrupted"]
    assert len(interrupted) <= 6
    assert len(charges) - len(oracle.acked) <= 12  # the last of each writer, unheard
    assert list(deployed.journal.glob("*.cvj")) == []
    verdict = deployed.manage("verify_ledger")
    assert verdict.returncode == 0, verdict.stdout


@pytest.mark.parametrize("deployed", ["sqlite"], indirect=True)
def test_sigterm_ships_what_is_there(deployed):
    oracle = Oracle()
    writer = deployed.writer(1)
    ingest = deployed.ingest()
    wait_until(lambda: deployed.query("SELECT COUNT(*) FROM usage_requestlog")[0][0] > 0)
    oracle.hear(writer, lines=10)
    ingest.send_signal(signal.SIGTERM)
    assert ingest.wait(30) == 0
    (count,) = deployed.query("SELECT COUNT(*) FROM usage_requestlog")[0]
    assert len(oracle.acked) <= count <= len(oracle.acked) + 1


def test_the_database_refuses_to_change_the_ledger(deployed):
    Oracle().hear(deployed.writer(1), lines=20)
    assert deployed.manage("ingest", "--once").returncode == 0
    before = deployed.query("SELECT COUNT(*), SUM(amount_nano) FROM billing_ledgerentry")
    assert before[0][0] > 0
    statements = [
        "UPDATE billing_ledgerentry SET amount_nano = 0",
        "DELETE FROM billing_ledgerentry",
    ]
    if deployed.environment["DATABASE_URL"]:
        statements.append("TRUNCATE billing_ledgerentry")
    for statement in statements:
        with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match="append-only"):
            deployed.query(statement)
    after = deployed.query("SELECT COUNT(*), SUM(amount_nano) FROM billing_ledgerentry")
    assert after == before


def test_a_budget_is_the_same_at_every_moment_of_shipping(deployed):
    assert deployed.watch_budget(2500).splitlines()[-1] == "[2500]"


def break_connections(deployed: Deployed) -> None:
    """End ingest's connection at any point, also inside a transaction or a commit."""
    for _ in range(5):
        deployed.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        time.sleep(0.02)


def plain(request_id: object) -> str:
    return str(request_id).replace("-", "")


def wait_until(condition, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
