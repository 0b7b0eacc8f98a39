"""Configuration that is broken, half there or taken back, and processes that are replaced."""

import random
import signal
import time

from tests.chaos import world
from tests.chaos.crowd import refusals
from tests.chaos.scenario import scenario
from tests.chaos.site import Site
from tests.chaos.trial import Trial, one
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until

_OF_LIMITS = {
    "402 budget_exhausted",
    "429 budget_reserved_in_flight",
    "503 limits_unavailable",
}
_ROLLED_S = 120.0


def _none_refused(trial: Trial) -> None:
    found = refusals(trial.crowd.log)
    others = {what: count for what, count in found.items() if what not in _OF_LIMITS}
    trial.figures.require(refused=(others, {}))


@scenario("F32", "R17", "Rows of the configuration are overwritten with garbage and announced",
          keeps_site=False)  # fmt: skip
def config_garbage(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(2)
        with trial.fault():
            for table, column, garbage in (
                ("providers_alias", "strategy", "'no-such'"),
                ("providers_provider", "family", "'no-such'"),
                ("providers_provider", "base_url", "'not a url at all'"),
            ):
                before = site.query(f"SELECT id, {column} FROM {table}")
                site.execute(f"UPDATE {table} SET {column} = {garbage}")
                _announce(site)
                time.sleep(2)
                for row, value in before:
                    site.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", value, row)
                _announce(site)
                time.sleep(1)
    _none_refused(trial)


def _announce(site: Site) -> None:
    site.execute(
        "INSERT INTO configuration_announcement (topic, subject, created_at) "
        "VALUES ('configuration.revision', '0', now())"
    )


@scenario("F32", "R17", "The stored snapshot is truncated, and every process starts anew")
def snapshot_garbage(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        time.sleep(1)
        site.node.kill_everything()
        path = site.node.home / "snapshot.bin"
        path.write_bytes(path.read_bytes()[:-100])
        site.node.start()
        figures.note(recover_s=round(trial.answers_again(time.monotonic()), 2))
        time.sleep(1)
    _none_refused(trial)


@scenario("F32", "R17", "A bad change is taken back under load")
def rollback(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        site.apply({"aliases": [{"name": "brief", "targets": [{"deployment": "fault:500"}]}]})
        assert _status(site, trial) >= 500
        began = time.monotonic()
        told = site.ask("restore", revision=trial.revision)
        assert "error" not in told, told["error"]
        wait_until(lambda: _status(site, trial) == 200, 20)
        figures.at_most(recover_s=(round(time.monotonic() - began, 2), 2.0))
        time.sleep(1)


def _status(site: Site, trial: Trial) -> int:
    import asyncio

    return asyncio.run(one(site, trial.names.rich, "probe", "brief")).status


@scenario("F33", "R16", "Three rolling restarts under load")
def rolling(site: Site, figures: Figures, chance: random.Random) -> None:
    _roll(site, figures, 3, clients=40)


@scenario("F33", "R16", "20 rolling restarts at 200 requests a second", is_long=True)
def rolling_20(site: Site, figures: Figures, chance: random.Random) -> None:
    _roll(site, figures, 20, clients=70)


def _roll(site: Site, figures: Figures, times: int, clients: int) -> None:
    took = []
    with Trial(site, figures, clients=clients, poor_nano=world.RICH_NANO) as trial:
        trial.calm(3)
        with trial.fault():
            for _ in range(times):
                began = time.monotonic()
                done = site.node.running().output().count("rolling restart done")
                site.node.running().tell(signal.SIGHUP)
                wait_until(
                    lambda was=done: (
                        site.node.running().output().count("rolling restart done") > was
                    ),
                    _ROLLED_S,
                )
                took.append(time.monotonic() - began)
        calls = trial.during()
    cut = [call for call in calls if call.answer.status == 200 and not call.answer.is_acknowledged]
    figures.note(restarts=times, took_each_s=round(max(took), 1),
                 rate=round(len(calls) / max(sum(took), 1)))  # fmt: skip
    figures.require(
        failed=(sum(not call.answer.status for call in calls), 0), streams_cut=(len(cut), 0)
    )
    _none_refused(trial)
