"""The disk under the journals forgets, fills up, or flips bits."""

import os
import random
import signal
import time
from pathlib import Path

from tests.chaos.crowd import refusals
from tests.chaos.scenario import scenario
from tests.chaos.site import Site, Spec
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until

ON_DISK = Spec(own_disk=True)
FORCED = Spec(own_disk=True, more=(("CHATVAULT_GATEWAY_USAGE_ACK", "disk"),))
SMALL = Spec(more=(("CHATVAULT_JOURNAL_SEGMENT_MIB", "1"), ("CHATVAULT_JOURNAL_CAP_MIB", "1")))
_OF_LIMITS = {
    "402 budget_exhausted",
    "429 budget_reserved_in_flight",
    "503 limits_unavailable",
}
WINDOW_MS = 50.0
SLOW_DISK_MS = 200.0
"""A write to a busy disk takes its time, and what came meanwhile waits for the next."""


def _cut(site: Site, figures: Figures, chance: random.Random, window_ms: float) -> None:
    """Power is lost under load: what was not forced to the node's disk is gone. The database and
    Redis are on other machines."""
    assert site.disk is not None
    with Trial(site, figures) as trial:
        time.sleep(chance.uniform(2, 4))
        cut_at = site.node.kill_everything()
        gone, files = site.disk.cut_power(site.node.journal)
        site.node.start()
        figures.note(recover_s=round(trial.answers_again(time.monotonic()), 2))
        time.sleep(2)
    figures.note(bytes_gone=gone, files_gone=files)
    window = max((cut_at - sent.ended for sent in trial.wrong.lost), default=0.0)
    figures.at_most(loss_window_ms=(round(window * 1000, 1), window_ms))
    figures.excuse("forgotten")  # what nobody was answered is not waited for
    if window_ms:
        figures.excuse("lost", "misstated")
        wrong = sum(row.outcome == "ok" for _, row in trial.wrong.misstated)
        figures.require(wrong_rows=(wrong, 0))


@scenario("F17", "R2", "A node loses power", spec=ON_DISK)
def power_cut(site: Site, figures: Figures, chance: random.Random) -> None:
    _cut(site, figures, chance, WINDOW_MS + SLOW_DISK_MS)


@scenario("F17", "R2", "A node loses power; answers wait for the disk", spec=FORCED)
def power_cut_forced(site: Site, figures: Figures, chance: random.Random) -> None:
    _cut(site, figures, chance, 0.0)


@scenario("F30", "R14", "The journal's disk is full for 6 s", spec=ON_DISK)
def disk_full(site: Site, figures: Figures, chance: random.Random) -> None:
    assert site.disk is not None
    with Trial(site, figures) as trial:
        trial.calm(3)
        with trial.fault():
            site.disk.be("full", on=True)
            time.sleep(6)
            site.disk.be("full", on=False)
        figures.note(recover_s=round(trial.answers_again(time.monotonic()), 2))
    _refused_clearly(trial)


@scenario("F30", "R3 R14", "Writes to the journal are cut short for 4 s", spec=ON_DISK)
def disk_short_writes(site: Site, figures: Figures, chance: random.Random) -> None:
    assert site.disk is not None
    with Trial(site, figures) as trial:
        trial.calm(2)
        with trial.fault():
            site.disk.be("short", on=True)
            time.sleep(4)
            site.disk.be("short", on=False)
        figures.note(recover_s=round(trial.answers_again(time.monotonic()), 2))
    _refused_clearly(trial)


@scenario("F25 F30", "R1 R14", "Ingest stands still until the journal's cap is reached", spec=SMALL)
def journal_cap(site: Site, figures: Figures, chance: random.Random) -> None:
    ingest = site.node.child("ingest")
    with Trial(site, figures, clients=60, pause_s=0.05) as trial:
        trial.calm(2)
        with trial.fault():
            os.kill(ingest, signal.SIGSTOP)
            wait_until(lambda: _has_refused(trial), 60)
            time.sleep(2)
            os.kill(ingest, signal.SIGCONT)
            figures.note(recover_s=round(trial.answers_again(time.monotonic()), 2))
    _refused_clearly(trial)


def _has_refused(trial: Trial) -> bool:
    return any(call.answer.error_code == "journal_unavailable" for call in trial.crowd.log[-200:])


def _refused_clearly(trial: Trial) -> None:
    """Who is not served is told so, and that is all that happens."""
    found = refusals(trial.during())
    told = found.pop("503 journal_unavailable", 0)
    others = {what: n for what, n in found.items() if what not in _OF_LIMITS}
    trial.figures.note(refused_by_policy=told)
    trial.figures.require(refused_otherwise=(others, {}), refuses=(told > 0, True))


@scenario("F31", "R1 R5", "Bits flip in a journal, and its end is torn", keeps_site=False)
def journal_damage(site: Site, figures: Figures, chance: random.Random) -> None:
    flips = 20
    with Trial(site, figures) as trial:
        time.sleep(1)
        os.kill(site.node.child("ingest"), signal.SIGSTOP)
        time.sleep(3)
        site.node.kill_everything()
        paths = [path for path in site.node.journal.glob("*.cvj") if path.stat().st_size > 4000]
        for _ in range(flips):
            _flip(chance.choice(paths), chance)
        with paths[0].open("r+b") as file:
            file.truncate(paths[0].stat().st_size - 7)
        site.node.start()
        figures.note(recover_s=round(trial.answers_again(time.monotonic()), 2))
    lost, misstated = trial.wrong
    figures.note(bits_flipped=flips)
    figures.excuse("lost", "misstated", "forgotten", "damaged_records")
    figures.at_most(lost_or_interrupted=(len(lost) + len(misstated), flips + 1))
    figures.require(
        wrong_rows=(sum(row.outcome == "ok" for _, row in misstated), 0),
        alarm=(figures.values["damaged_records"] > 0, True),
    )


def _flip(path: Path, chance: random.Random) -> None:
    with path.open("r+b") as file:
        at = chance.randrange(path.stat().st_size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << chance.randrange(8))]))
