"""Background work is killed, delivered twice or lost; what it computes stays right."""

import os
import random
import signal
import time
from contextlib import suppress

from tests.chaos.scenario import scenario
from tests.chaos.site import Site
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until

_ROLL_UP = "apps.usage.tasks.roll_up_hour"


@scenario("F26 F27", "R5 R19", "The worker is killed in the middle of roll-ups that come thrice")
def worker_kill(site: Site, figures: Figures, chance: random.Random) -> None:
    hour = site.query("SELECT to_char(date_trunc('hour', now() AT TIME ZONE 'UTC'), "
                      "'YYYY-MM-DD\"T\"HH24:00:00+00:00')")[0][0]  # fmt: skip
    kills = 0
    with Trial(site, figures) as trial:
        for _ in range(12):
            for _ in range(3):
                told = site.ask("deliver", task=_ROLL_UP, named={"hour": hour})
                assert "error" not in told, told
            time.sleep(chance.uniform(0.05, 0.6))
            kills += _kill_worker(site)
        wait_until(lambda: bool(site.node.running().child("worker")))
        trial.site.ask("deliver", task=_ROLL_UP, named={"hour": hour})
    figures.note(killed=kills)
    figures.require(kills_happened=(kills >= 3, True))


def _kill_worker(site: Site) -> int:
    pid = site.node.running().child("worker")
    if not pid:
        return 0
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return 1


@scenario("F28", "R19", "Messages for the worker are lost with the broker")
def broker_lost(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(1)
        with trial.fault():
            lost = site.ask("enqueue", name="verify-ledger",
                            task="apps.usage.tasks.verify_ledger", lose=True)  # fmt: skip
            assert "error" not in lost, lost
            site.redis.flush()
            began = time.monotonic()
            site.execute("UPDATE configuration_jobrun SET sent_at = now() - INTERVAL '2 minutes' "
                         "WHERE id = %s", lost["run"])  # fmt: skip
            site.ask("deliver", task="apps.configuration.tasks.look_after_jobs", named={})
            wait_until(lambda: _state(site, lost["run"]) == "done", 60)
            figures.note(recover_s=round(time.monotonic() - began, 2))
    figures.require(ended=(_state(site, lost["run"]), "done"))


def _state(site: Site, run: int) -> str:
    return str(site.query("SELECT state FROM configuration_jobrun WHERE id = %s", run)[0][0])
