"""PostgreSQL is gone, stuck, forgetful or read-only; requests go on and nothing is lost."""

import asyncio
import random
import time

import psycopg

from apps.accounts.credentials import issue_secret
from tests.chaos.crowd import refusals
from tests.chaos.scenario import scenario
from tests.chaos.scenarios.kills import kill
from tests.chaos.site import DATABASE, Site, Spec
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until
from tests.proofs.wire import Wire
from tests.proofs.world import body_of

BEHIND_PROXY = Spec(postgres_behind_proxy=True)


def _ask_unknown(site: Site) -> int:
    """The status of a request with a key that could be one and that no process knows."""

    async def ask() -> int:
        wire = Wire(site.url)
        body = body_of("brief", "unknown", stream=False, most=1)
        answer = await wire.post("/v1/chat/completions", issue_secret(), body)
        wire.close()
        return answer.status

    return asyncio.run(ask())


def _down(site: Site, figures: Figures, seconds: float) -> None:
    with Trial(site, figures) as trial:
        trial.calm(5)
        with trial.fault():
            site.postgres.kill()
            time.sleep(1)
            unknown = [_ask_unknown(site) for _ in range(5)]
            time.sleep(max(0.0, seconds - 1))
        site.postgres.start()
        back_at = time.monotonic()
        wait_until(lambda: _ask_unknown(site) == 401)
        figures.note(recover_s=round(time.monotonic() - back_at, 2), down_s=seconds)
        time.sleep(3)
        trial.calm(3)
    figures.require(unknown_keys=(sorted(set(unknown)), [503]), refused_known=(_refused(trial), {}))


def _refused(trial: Trial) -> dict[str, int]:
    """Refusals during the fault other than those of limits, which do not ask PostgreSQL."""
    found = refusals(trial.during())
    found.pop("503 limits_unavailable", None)
    return {what: count for what, count in found.items() if what[:3] not in ("402", "429")}


@scenario("F22", "R1 R3 R14", "PostgreSQL is killed and stays away for 30 s")
def pg_down(site: Site, figures: Figures, chance: random.Random) -> None:
    _down(site, figures, 30)


@scenario("F22", "R1 R3 R14", "PostgreSQL is killed and stays away for 5 minutes", is_long=True)
def pg_down_5m(site: Site, figures: Figures, chance: random.Random) -> None:
    _down(site, figures, 300)


@scenario("F22 F16", "R1 R14 R17", "A gateway is killed while PostgreSQL is away for 12 s")
def pg_down_kill(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(3)
        with trial.fault():
            site.postgres.kill()
            time.sleep(1)
            kill(chance.choice(site.gateways())[1])
            time.sleep(11)
        site.postgres.start()
        back_at = time.monotonic()
        wait_until(lambda: _ask_unknown(site) == 401)
        figures.note(recover_s=round(time.monotonic() - back_at, 2))
    refused = _refused(trial)
    figures.note(refused_by_policy=refused.pop("503 keys_unavailable", 0))
    figures.require(refused_known=(refused, {}))


@scenario("F23", "R14", "All tables are locked for 10 s")
def pg_locked(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(6)
        with trial.fault():
            _hold_every_table(site, 10)
        trial.calm(4)
    figures.require(refused_known=(_refused(trial), {}))


def _hold_every_table(site: Site, seconds: float) -> None:
    names = site.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = ", ".join(f'"{name}"' for (name,) in names)
    with psycopg.connect(site.postgres.url(DATABASE)) as connection:
        connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        time.sleep(seconds)
        connection.rollback()


@scenario("F24", "R3", "The answer to a COMMIT is lost, again and again", spec=BEHIND_PROXY)
def pg_commit_unknown(site: Site, figures: Figures, chance: random.Random) -> None:
    assert site.postgres_proxy is not None
    with Trial(site, figures) as trial:
        trial.calm(3)
        with trial.fault():
            ends = time.monotonic() + 15
            while time.monotonic() < ends:
                site.postgres_proxy.toxics.swallows_answer_to = b"COMMIT"
                time.sleep(chance.uniform(0.05, 0.4))
                site.postgres_proxy.heal()
                time.sleep(chance.uniform(0.05, 0.3))
    swallowed = site.postgres_proxy.swallowed
    figures.note(commits_unknown=swallowed)
    figures.require(enough_commits=(swallowed >= 10, True), refused_known=(_refused(trial), {}))


@scenario("F25", "R1 R14", "The database turns read-only for 10 s")
def pg_read_only(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(4)
        with trial.fault():
            _be_read_only(site, "on")
            time.sleep(10)
            _be_read_only(site, "off")
        trial.calm(2)
    figures.require(refused_known=(_refused(trial), {}))


def _be_read_only(site: Site, state: str) -> None:
    site.postgres.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = {state}")
    site.postgres.end_connections(DATABASE)
