"""Processes that die without warning: at random, at named places, all at once."""

import os
import random
import signal
import statistics
import time
from contextlib import suppress

from tests.chaos.scenario import scenario
from tests.chaos.site import Node, Site
from tests.chaos.trial import HEALED_S, Trial
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until


def kill(pid: int) -> float:
    assert pid > 1, "0 would be this very process and its group"
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return time.monotonic()


def kill_gateways(trial: Trial, kills: int, chance: random.Random, life_s: float) -> None:
    """One gateway at a time, each after a life of up to twice `life_s` of its node."""
    site, recoveries, dead = trial.site, [], []
    for _ in range(kills):
        time.sleep(chance.uniform(0, 2 * life_s))
        node, pid = chance.choice(_alive(site))
        killed_at = kill(pid)
        dead.append((node, pid, killed_at))
        recoveries.append(trial.answers_again(killed_at))
    resolved = [_resolved_s(*each) for each in dead[-8:]]
    trial.figures.note(
        killed=kills,
        recover_s=round(max(recoveries), 3),
        recover_s_median=round(statistics.median(recoveries), 3),
    )
    trial.figures.at_most(resolved_s=(round(max(resolved), 2), HEALED_S))


def _alive(site: Site) -> list[tuple[Node, int]]:
    wait_until(lambda: bool(site.gateways()))
    return site.gateways()


def _resolved_s(node: Node, pid: int, killed_at: float) -> float:
    wait_until(lambda: node.is_resolved(pid))
    return time.monotonic() - killed_at


@scenario("F16 F39", "R1 R3 R4 R6 R9", "Gateway processes are killed at random")
def kills(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures, clients=50, pause_s=0.08) as trial:
        kill_gateways(trial, 12, chance, life_s=0.7)


@scenario(
    "F16 F39", "R1 R3 R4 R6 R9", "200 kills of gateway processes over 20,000 requests", is_long=True
)
def kills_200(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures, clients=60, pause_s=0.08, poor_nano=1_500_000_000) as trial:
        kill_gateways(trial, 200, chance, life_s=0.8)
        wait_until(lambda: len(trial.crowd.log) >= 20_000, 600)
    figures.require(enough_requests=(len(trial.crowd.log) >= 20_000, True))


@scenario("F16", "R1 R3", "Ingest is killed at random")
def kill_ingest(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial, trial.fault():
        for _ in range(5):
            time.sleep(chance.uniform(0.3, 2))
            pid = site.node.child("ingest")
            killed_at = kill(pid)
            wait_until(lambda old=pid: site.node.running().child("ingest") not in (0, old))
        figures.note(killed=5, recover_s=round(trial.answers_again(killed_at), 3))


@scenario("F16 F17", "R1 R3 R4", "Every process of a node is killed at once")
def kill_node(site: Site, figures: Figures, chance: random.Random) -> None:
    recoveries = []
    with Trial(site, figures) as trial:
        for _ in range(2):
            time.sleep(chance.uniform(1, 2))
            killed_at = site.node.kill_everything()
            site.node.start()
            recoveries.append(trial.answers_again(killed_at))
        time.sleep(1)
    figures.note(killed=2, recover_s=round(max(recoveries), 3))


GATEWAY_PLACES = (
    "reserved",
    "intent-written",
    "attempt-ended",
    "attempt-written",
    "progress-written",
    "upstream-answered",
    "settle-written",
    "limits-settled",
    "last-byte-sent",
)
_TURNS = {"attempt-ended": 2, "attempt-written": 2, "segment-finished": 1}
INGEST_PLACES = ("batch-inserted", "batch-committed", "segment-finished")


@scenario(
    "F16 F39", "R1 R3 R4 R6", "Processes kill themselves at every named place", keeps_site=False
)
def failpoints(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(
        site, figures, aliases=("talk", "brief", "twice"), poor_nano=20_000_000, follow=False
    ) as trial:
        _die_at_all(site, GATEWAY_PLACES)
        _die_at_all(site, INGEST_PLACES)
        reached = _reached(site)
        site.node.kill_everything()
        site.node.start()
        figures.note(recover_s=round(trial.answers_again(time.monotonic()), 2))
        time.sleep(1)
    wanted = {*GATEWAY_PLACES, *INGEST_PLACES}
    figures.note(deaths=_log_of(site).count("failpoint "))
    figures.require(places_not_reached=(sorted(wanted - reached), []))


def _armed(places: list[str]) -> str:
    return ",".join(f"{name}:{_TURNS.get(name, 5)}" for name in places)


def _die_at_all(site: Site, places: tuple[str, ...]) -> None:
    """Until a process has died at each place; those that nobody came to are tried anew."""
    for _ in range(6):
        left = [name for name in places if name not in _reached(site)]
        if not left:
            return
        site.node.kill_everything()
        site.node.start(CHATVAULT_FAILPOINT=_armed(left))
        _die_for_a_while(site, left)


def _die_for_a_while(site: Site, places: list[str]) -> None:
    ends, look = time.monotonic() + 10, 0
    while not _reached(site).issuperset(places) and time.monotonic() < ends:
        time.sleep(0.25)
        look += 1
        if look % 12 == 0:  # the places of those that live on do not come
            kill(min(pid for _, pid in _alive(site)))
            kill(site.node.child("ingest"))


def _log_of(site: Site) -> str:
    return (site.folder / "home0.log").read_text(errors="replace")


def _reached(site: Site) -> set[str]:
    words = _log_of(site).split("failpoint ")[1:]
    return {word.split(maxsplit=1)[0] for word in words if word}
