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

_WATCHER = """
import subprocess, sys, time
import django
django.setup()
from pathlib import Path
from django.db import connection
from apps.usage.journal import Journal
from apps.usage.models import RequestLog
from apps.usage.restore import budget_state
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import intent, settle, start
count = int(sys.argv[2])
journal = Journal(Path(sys.argv[1]), segment_bytes=50_000)
journal.open()
for _ in range(count):
    one = uuid7_bytes()
    journal.append(intent(one), start(one), settle(one, charged_nano=1, cost_nano=1))
ingest = subprocess.Popen([sys.executable, "manage.py", "ingest"])
seen = set()
while RequestLog.objects.count() < count and ingest.poll() is None:
    seen.update(state.settled_nano for state in budget_state(directory=Path(sys.argv[1])))
ingest.terminate()
ingest.wait()
seen.update(state.settled_nano for state in budget_state(directory=Path(sys.argv[1])))
print(sorted(seen))
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

    def watch_budget(self, count: int) -> str:
        """What the budget was said to have spent, all the while `count` nano-USD were shipped."""
        command = [sys.executable, "-c", _WATCHER, str(self.journal), str(count)]
        return subprocess.check_output(command, env=self.environment, cwd=ROOT, text=True)

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
