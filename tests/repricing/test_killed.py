"""A worker is killed while it books a repricing: the next one goes on and books nothing twice.

`make proofs-books` runs it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.usage.deployed import ROOT, Deployed, seed

COUNT = 1200  # three chunks of adjustments

_PREPARE = """
import django, sys
django.setup()
from datetime import datetime, timedelta, UTC
from pathlib import Path
from apps.repricing.models import RepricedRequest, Repricing
from apps.usage.follow import Follower
from apps.usage.journal import Journal
from apps.usage.models import RequestLog
from chatvault.lib.ids import uuid7_bytes
from tests.usage.samples import AT_MS, intent, settle, start
import threading
folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
journal = Journal(folder)
journal.open()
for _ in range(int(sys.argv[2])):
    one = uuid7_bytes()
    journal.append(intent(one), start(one), settle(one, charged_nano=37_500, cost_nano=37_500))
journal.close()
Follower(folder, threading.Event()).run_once()
day = datetime.fromtimestamp(AT_MS / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
made = Repricing.objects.create(
    reason="killed", starts_at=day, ends_at=day + timedelta(days=1), state="approved",
    approver_name="bob", approved_at=day, cost_before_nano=0, cost_after_nano=0,
    charged_before_nano=0, charged_after_nano=-100 * int(sys.argv[2]),
)
RepricedRequest.objects.bulk_create(
    RepricedRequest(
        repricing=made, request_id=one, price_id=61,
        cost_before_nano=37_500, cost_after_nano=37_500,
        charged_before_nano=37_500, charged_after_nano=37_400,
    )
    for one in RequestLog.objects.values_list("request_id", flat=True)
)
"""

_BOOK = """
import django
django.setup()
from apps.configuration import jobs
from apps.repricing import booking
from apps.repricing.models import Repricing
with jobs.run("book-repricing", task="apps.repricing.tasks.book", repricing_id=1) as job:
    booking.book(Repricing.objects.get(), job.progress)
from apps.usage.self_audit import run
done = []
check = run(progress=done.append)
print([(f["code"], f["differences"]) for f in check.findings if f["differences"]], len(done) > 5)
"""
_BOOKED = "SELECT COUNT(*), COALESCE(SUM(amount_nano), 0) FROM billing_ledgerentry WHERE"


pytestmark = pytest.mark.skipif(
    not os.environ.get("CHATVAULT_TEST_KILLS"), reason="`make proofs-books`"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Deployed:
    url = ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = server.make_database("repriced")
    seed(tmp_path, url)
    made = Deployed(tmp_path, url)
    run(made, _PREPARE, str(made.journal), str(COUNT))
    return made


def run(deployed: Deployed, script: str, *words: str, dies_at: str = "") -> str:
    environment = deployed.environment | {"CHATVAULT_FAILPOINT": dies_at}
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env=environment, cwd=ROOT, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode == -9) is bool(dies_at), done.stderr
    return done.stdout


def test_a_repricing_is_booked_once_however_often_its_worker_is_killed(deployed):
    def booked() -> int:
        rows = deployed.query(f"{_BOOKED} kind = 'adjustment' AND account = 'client'")
        return int(rows[0][0])

    run(deployed, _BOOK, dies_at="job-step:1")
    assert booked() == 500
    run(deployed, _BOOK, dies_at="job-step:2")
    assert booked() == 1000
    assert run(deployed, _BOOK).strip() == "[] True"
    assert booked() == COUNT
    [(state, done)] = deployed.query("SELECT state, booked_at IS NOT NULL FROM repricing_repricing")
    assert (state, done) == ("booked", 1)
    [(settled,)] = deployed.query("SELECT settled_nano FROM billing_budgetwindow")
    assert settled == COUNT * 37_400
