"""ChatVault's real processes on a real database, driven from outside as an operator would."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[2]

_SEED = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from apps.accounts.models import ApiKey, Client, Team
from apps.billing.models import Budget, Price, PriceBook
book = PriceBook.objects.create(name="list")
Price.objects.create(pk=61, book=book, model="m", input_nano=150_000_000, output_nano=600_000_000)
team = Team.objects.create(pk=31, name="research")
client = Client.objects.create(pk=21, name="notebook", team=team)
ApiKey.objects.create(pk=11, client=client, name="ci", digest="d" * 64)
Budget.objects.create(client=client, amount_nano=10**12, period="total")
"""

_WRITER = """
import random, sys, time
from pathlib import Path
from apps.usage.journal import Journal
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import end, intent, progress, settle, start
journal = Journal(Path(sys.argv[1]), segment_bytes=20_000)
journal.open()
chance = random.Random(int(sys.argv[2]))
while True:
    one = uuid7_bytes()
    charged = chance.randrange(100_000)
    journal.append(intent(one))
    print("begun", one.hex(), 0, flush=True)
    journal.append(start(one))
    journal.append(progress(one, chance.randrange(1000)))
    journal.append(end(one), settle(one, charged_nano=charged))
    print("acked", one.hex(), charged, flush=True)
    time.sleep(0.002)
"""


def environment(home: Path, database_url: str) -> dict[str, str]:
    """What ChatVault's processes are started with."""
    return os.environ | {
        "CHATVAULT_HOME": str(home),
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "chatvault.settings",
        "PYTHONPATH": str(ROOT),
    }


def seed(home: Path, database_url: str = "") -> None:
    """Make the tables and the few rows that sample records name."""
    command = [sys.executable, "-c", _SEED]
    subprocess.run(command, env=environment(home, database_url), check=True, cwd=ROOT)


class Deployed:
    """One home, one seeded database. `query` speaks to the database without Django."""

    def __init__(self, home: Path, database_url: str = "") -> None:
        self.home = home
        self.journal = home / "journal"
        self._database_url = database_url
        self.environment = environment(home, database_url)
        self.started: list[subprocess.Popen[str]] = []

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            env=self.environment,
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=False,
        )

    def ingest(self) -> subprocess.Popen[str]:
        return self._start("manage.py", "ingest")

    def writer(self, seed: int) -> subprocess.Popen[str]:
        return self._start("-c", _WRITER, str(self.journal), str(seed))

    def query(self, statement: str) -> Sequence[tuple[Any, ...]]:
        if self._database_url:
            with psycopg.connect(self._database_url, autocommit=True) as connection:
                return connection.execute(statement.encode()).fetchall()
        with sqlite3.connect(self.home / "chatvault.sqlite3") as connection:
            return connection.execute(statement).fetchall()

    def stop(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def _start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *words],
            env=self.environment,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process
