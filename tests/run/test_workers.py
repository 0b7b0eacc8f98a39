"""Real workers, beats and brokers, killed and started again; `make proofs` does it at length."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from chatvault.watchdog import STUCK
from tests.proofs import background
from tests.proofs.crew import Crew, Hand, prepare
from tests.proofs.stage import wait_until
from tests.servers.rabbit import RabbitServer, rabbit_server
from tests.servers.valkey import ValkeyServer

__all__ = ["rabbit_server"]

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]
slow = pytest.mark.skipif(
    not os.environ.get("CHATVAULT_TEST_BROKERS"), reason="`make proofs-queue`"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("prepared") / "home")


def test_a_killed_worker_leaves_no_wrong_sums(tmp_path: Path, prepared: Path) -> None:
    """SQLite and files, as `make run` has it."""
    with Crew(tmp_path, prepared) as crew:
        background.kill_workers(crew, kills=1, rows=20).check()


def survives_its_broker(crew: Crew, server: ValkeyServer | RabbitServer) -> Hand:
    """Jobs are done before and after their broker was killed; what vanished comes again. A worker
    that could not acknowledge its last job ends itself, and its supervisor starts another one."""
    crew.ask("seed", 3, 5)
    worker = crew.worker()
    crew.ask("enqueue", "apply-retention")
    crew.wait_for_state("apply-retention")
    server.kill()
    crew.ask("enqueue", "roll-up-recent-hours")  # the message goes nowhere, the row waits
    server.start()
    crew.ask("enqueue", "forget-the-old")
    worker = _whoever_serves(crew, worker, "forget-the-old")
    assert [run[0] for run in crew.ask("runs", "roll-up-recent-hours")] == ["queued"]
    crew.ask("age", 61)
    crew.ask("look")
    crew.wait_until_idle()
    assert crew.ask("counts") == {"done": 3}
    assert worker.is_running
    return worker


def _whoever_serves(crew: Crew, worker: Hand, job: str) -> Hand:
    """The worker that has done the job: this one, or the next."""

    def is_done() -> bool:
        return [run[0] for run in crew.ask("runs", job)][-1:] == ["done"]

    try:
        wait_until(lambda: is_done() or not worker.is_running)
    except AssertionError as error:
        raise AssertionError(f"{crew.ask('runs', job)}\n{crew.log()}") from error
    if not worker.is_running:
        assert worker.wait() == STUCK
        worker = crew.worker()
    crew.wait_for_state(job)
    return worker


def outlives_a_lost_acknowledgement(crew: Crew, server: ValkeyServer | RabbitServer) -> None:
    """The broker dies after a job is done and before its message is acknowledged. The worker ends
    itself, and the one that a supervisor starts for it takes the next job."""
    worker = crew.worker(CHATVAULT_CELERY_CONCURRENCY="1")
    crew.ask("forget")
    crew.ask("enqueue", "roll-up-recent-hours")
    crew.wait_for_state("roll-up-recent-hours", "running")
    worker.process.send_signal(signal.SIGSTOP)  # its child goes on
    crew.wait_for_state("roll-up-recent-hours")
    server.kill()
    worker.process.send_signal(signal.SIGCONT)  # it learns of the end with nobody to tell it to
    _ends_itself(crew, worker)
    server.start()
    crew.worker()
    crew.ask("enqueue", "apply-retention")
    crew.wait_for_state("apply-retention")


def _ends_itself(crew: Crew, worker: Hand) -> None:
    try:
        wait_until(lambda: not worker.is_running)
    except AssertionError as error:
        raise AssertionError(crew.log()) from error
    assert worker.wait() == STUCK


def stops_after_its_job(crew: Crew, worker: Hand) -> None:
    """Asked to stop in the middle of a job it ends that first."""
    crew.ask("forget")  # then sums are recomputed for a week
    crew.ask("enqueue", "roll-up-recent-hours")
    crew.wait_for_state("roll-up-recent-hours", "running")
    assert worker.stop() == 0
    assert [run[0] for run in crew.ask("runs", "roll-up-recent-hours")] == ["done"]


@slow
def test_a_worker_outlives_its_redis(
    tmp_path: Path, prepared: Path, valkey_server: ValkeyServer, valkey_url: str
) -> None:
    with Crew(tmp_path, prepared, REDIS_URL=valkey_url) as crew:
        survives_its_broker(crew, valkey_server).stop()
        stops_after_its_job(crew, crew.worker())


@slow
def test_a_worker_outlives_its_rabbit(
    tmp_path: Path, prepared: Path, rabbit_server: RabbitServer
) -> None:
    with Crew(tmp_path, prepared, CHATVAULT_CELERY_BROKER_URL=rabbit_server.url) as crew:
        survives_its_broker(crew, rabbit_server)


@slow
@pytest.mark.parametrize("broker", ["redis", "rabbit"])
def test_a_lost_acknowledgement_keeps_nobody_from_working(
    tmp_path: Path, prepared: Path, broker: str, request: pytest.FixtureRequest
) -> None:
    if broker == "redis":
        server = request.getfixturevalue("valkey_server")
        more = {"REDIS_URL": request.getfixturevalue("valkey_url")}
    else:
        server = request.getfixturevalue("rabbit_server")
        more = {"CHATVAULT_CELERY_BROKER_URL": server.url}
    with Crew(tmp_path, prepared, **more) as crew:
        crew.ask("seed", 3, 5)
        outlives_a_lost_acknowledgement(crew, server)
