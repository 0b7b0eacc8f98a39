"""Redis is gone, empty, silent, behind or full. Money is spent once, and only as it was granted."""

import random
import time
from itertools import pairwise

from tests.chaos.crowd import refusals
from tests.chaos.scenario import scenario
from tests.chaos.scenarios.kills import kill
from tests.chaos.site import Site, Spec
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until

POLICY = frozenset({"503 limits_unavailable"})
"""What a client with a budget may be told while Redis is away; others notice nothing."""
BEHIND_PROXY = Spec(redis_behind_proxy=True)
TWO_NODES = Spec(nodes=2, processes=2)
REBUILT_S = 2.0
STALL_MS, STEADY_MS = 25.0, 5.0


def _policy_held(trial: Trial) -> None:
    """Nobody without a budget is refused, and nobody is refused for another reason."""
    figures, names = trial.figures, trial.names
    free = refusals(trial.during(names.free))
    rich = refusals(trial.during(names.rich))
    others = {what: count for what, count in rich.items() if what not in POLICY}
    figures.note(refused_by_policy=sum(rich.values()) - sum(others.values()))
    figures.require(refused_without_budget=(dict(free), {}), refused_otherwise=(others, {}))


def _goes_on(trial: Trial, since: float) -> None:
    """From the moment that Redis can be used until a client with a budget is served."""
    trial.figures.at_most(
        recover_s=(round(trial.answers_again(since, trial.names.rich), 2), REBUILT_S)
    )


@scenario("F18", "R6 R7 R14", "Redis is killed under load and comes back empty")
def redis_kill(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(4)
        with trial.fault():
            site.redis.kill()
            time.sleep(6)
            site.redis.start()
            back_at = time.monotonic()
            _goes_on(trial, back_at)
        trial.calm(2)
    _policy_held(trial)


@scenario("F18", "R6 R7 R14", "FLUSHALL, three times under load")
def redis_flush(site: Site, figures: Figures, chance: random.Random) -> None:
    _flush(site, figures, chance)


@scenario("F18", "R6 R7 R14", "FLUSHALL, three times under load, on Valkey",
          spec=Spec(redis="valkey"))  # fmt: skip
def valkey_flush(site: Site, figures: Figures, chance: random.Random) -> None:
    _flush(site, figures, chance)


def _last_refusal_s(trial: Trial, moments: list[float]) -> float:
    """From a moment until the last client with plenty was refused for it; of the worst moment."""
    worst = 0.0
    for begin, end in pairwise([*moments, float("inf")]):
        calls = trial.crowd.between(begin, end, trial.names.rich)
        refused = [call.ended - begin for call in calls if call.answer.status == 503]
        worst = max(worst, *refused, 0.0)
    return round(worst, 2)


def _flush(site: Site, figures: Figures, chance: random.Random) -> None:
    flushed = []
    with Trial(site, figures) as trial:
        trial.calm(3)
        with trial.fault():
            for _ in range(3):
                flushed.append(time.monotonic())
                site.redis.flush()
                time.sleep(chance.uniform(2.5, 3))
    figures.at_most(recover_s=(_last_refusal_s(trial, flushed), REBUILT_S))
    _policy_held(trial)


def _stop(site: Site, figures: Figures, seconds: float) -> None:
    with Trial(site, figures) as trial:
        trial.calm(6)
        with trial.fault():
            site.redis.pause()
            time.sleep(seconds)
            site.redis.resume()
        _goes_on(trial, time.monotonic())
        trial.calm(4)
    figures.at_most(
        p99_added_first_second_ms=(trial.added_ms(take_s=1), STALL_MS),
        p99_added_after_ms=(trial.added_ms(skip_s=1), STEADY_MS),
    )
    _policy_held(trial)


@scenario("F19", "R12 R14", "Redis is stopped for 12 s: it accepts and never answers")
def redis_stop(site: Site, figures: Figures, chance: random.Random) -> None:
    _stop(site, figures, 12)


@scenario("F19", "R12 R14", "Redis is stopped for 30 s", is_long=True)
def redis_stop_30s(site: Site, figures: Figures, chance: random.Random) -> None:
    _stop(site, figures, 30)


@scenario("F19", "R12 R14", "Answers of Redis are lost on the way for 8 s", spec=BEHIND_PROXY)
def redis_half_open(site: Site, figures: Figures, chance: random.Random) -> None:
    assert site.redis_proxy is not None
    with Trial(site, figures) as trial:
        trial.calm(4)
        with trial.fault():
            site.redis_proxy.toxics.drops_answers = True
            time.sleep(8)
            site.redis_proxy.heal()
            site.redis_proxy.reset_all()
        _goes_on(trial, time.monotonic())
    _policy_held(trial)


@scenario("F20", "R6 R7", "Redis fails over to a replica that is seconds behind")
def redis_stale(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        earlier = site.redis.save()
        trial.calm(4)
        with trial.fault():
            site.redis.restore(earlier)
            _goes_on(trial, time.monotonic())
            time.sleep(2)
    _policy_held(trial)


@scenario("F21", "R6 R14", "Redis is full: it refuses writes for 8 s")
def redis_full(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(4)
        with trial.fault():
            site.redis.be_full(on=True)
            time.sleep(8)
            site.redis.be_full(on=False)
            _goes_on(trial, time.monotonic())
    _policy_held(trial)


@scenario(
    "F18 F16",
    "R1 R6 R7",
    "Redis is flushed and a gateway killed, together, four times, on two nodes",
    spec=TWO_NODES,
)
def redis_flush_and_kill(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures) as trial:
        trial.calm(2)
        moments = []
        with trial.fault():
            for _ in range(4):
                moments.append(time.monotonic())
                site.redis.flush()
                kill(chance.choice(site.gateways())[1])
                time.sleep(chance.uniform(2, 3))
    figures.note(recover_s=_last_refusal_s(trial, moments))
    _policy_held(trial)


@scenario("F40", "R5", "Sums in Redis are changed by hand, under load")
def redis_drift(site: Site, figures: Figures, chance: random.Random) -> None:
    with Trial(site, figures, poor_nano=400_000_000) as trial:
        trial.calm(3)
        with trial.fault(), site.redis.client() as client:
            fields = [
                (key, field)
                for key in client.scan_iter(match="*:b:*")
                for field in client.hkeys(key)  # type: ignore[union-attr]
                if field[0] in "skh" and field[1:].isdigit()
            ]
            for key, field in fields:
                client.hincrby(key, field, chance.randrange(-20_000_000, 20_000_000))
            time.sleep(12)
    figures.note(sums_changed=len(fields))
    wait_until(lambda: not site.counters_wrong(), 60)
