"""`python -m tests.proofs [NAME …]`: the proofs at length; exits 1 when a promise does not hold.

With CHATVAULT_SCREENSHOTS the browser's pictures are kept there.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs import (
    background,
    fresh,
    journey,
    killing,
    peers,
    provider_budgets,
    replay,
    seven,
)
from tests.proofs.crew import Crew
from tests.proofs.figures import Figures
from tests.proofs.stage import Stage
from tests.run import rolling
from tests.servers.rabbit import RabbitServer
from tests.servers.valkey import ValkeyServer

Proof = Callable[[Path], Figures]


def _kill_gateway(folder: Path) -> Figures:
    with Stage(folder) as stage:
        return killing.prove("kill_gateway", stage, killing.gateway, kills=20, life_s=(1, 13))


def _kill_ingest(folder: Path) -> Figures:
    with Stage(folder) as stage:
        return killing.prove("kill_ingest", stage, killing.ingest, kills=6, life_s=(1, 4))


def _kill_everything(folder: Path) -> Figures:
    with Stage(folder) as stage:
        return killing.prove("kill_everything", stage, killing.everything, kills=6, life_s=(1, 4))


def _exactly_seven(folder: Path) -> Figures:
    with Stage(folder) as stage:
        return seven.prove(stage)


def _replay(folder: Path) -> Figures:
    with Stage(folder) as stage:
        return replay.prove(stage, replay.arrivals(), speed=60)


def _rolling_restarts(folder: Path) -> Figures:
    with TemporaryDirectory(prefix="cv-vk-") as place:  # short: it holds a socket
        server = ValkeyServer(Path(place)).start()
        try:
            with Stage(folder, **rolling.shared(server.url)) as stage:
                return rolling.prove(stage, restarts=20, rate=200)
        finally:
            server.kill()


def _restart_alone(folder: Path) -> Figures:
    with Stage(folder) as stage:
        return rolling.prove(stage, restarts=5, rate=50)


def _make_run(folder: Path) -> Figures:
    kept = os.environ.get("CHATVAULT_SCREENSHOTS")
    return fresh.prove(folder, Path(kept) if kept else folder)


def _journey(folder: Path) -> Figures:
    kept = os.environ.get("CHATVAULT_SCREENSHOTS")
    return journey.prove(folder, Path(kept) if kept else folder)


def _kill_workers(folder: Path) -> Figures:
    with Crew(folder) as crew:
        return background.kill_workers(crew)


def _poison(folder: Path) -> Figures:
    rabbit = RabbitServer(folder)
    with rabbit.running(), Crew(folder, CHATVAULT_CELERY_BROKER_URL=rabbit.url) as crew:
        return background.poison(crew)


def _repeat_messages(folder: Path) -> Figures:
    with ValkeyServer(folder).running() as server, Crew(folder, REDIS_URL=server.url) as crew:
        return background.repeat_messages(crew)


def _lose_messages(folder: Path) -> Figures:
    with ValkeyServer(folder).running() as server, Crew(folder, REDIS_URL=server.url) as crew:
        return background.lose_messages(crew, server.flush)


PROOFS: dict[str, Proof] = {
    "kill_gateway": _kill_gateway,
    "kill_ingest": _kill_ingest,
    "kill_everything": _kill_everything,
    "exactly_seven": _exactly_seven,
    "replay": _replay,
    "kill_workers": _kill_workers,
    "poison": _poison,
    "repeat_messages": _repeat_messages,
    "lose_messages": _lose_messages,
    "peers": peers.prove,
    "rolling_restarts": _rolling_restarts,
    "restart_alone": _restart_alone,
    "make_run": _make_run,
    "journey": _journey,
    "provider-budgets": provider_budgets.prove,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROOFS))
    names = parser.parse_args().names or list(PROOFS)
    if unknown := set(names) - PROOFS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    failed = []
    for name in names:
        print(f"proofs: {name}", flush=True)
        with TemporaryDirectory(prefix=f"chatvault-{name}-") as folder:
            if PROOFS[name](Path(folder)).broken:
                failed.append(name)
    print(f"proofs: {len(names) - len(failed)} of {len(names)} hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
