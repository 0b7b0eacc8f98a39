"""F26, F27, F28: background work survives killed workers, repeated messages and lost brokers."""

import random
import time
from collections.abc import Callable

from tests.proofs.crew import Crew
from tests.proofs.figures import Figures
from tests.proofs.stage import wait_until

HOURS = 24
_STEPS = 7 * 24  # a first run looks at a week
_IN_A_ROW = 4  # a job is given up after five lost workers


def kill_points(count: int, seed: int = 26) -> list[str]:
    """Places of a run over so many hours, the same ones for the same seed."""
    chance = random.Random(seed)
    places = ["job-begun:1", "job-done:1"]
    while len(places) < count:
        place = chance.choice(["job-step", "sums-cleared"])
        places.append(f"{place}:{chance.randrange(1, _STEPS)}")
    chance.shuffle(places)
    return places[:count]


def kill_workers(crew: Crew, *, kills: int = 20, rows: int = 120) -> Figures:
    """F26: `kill -9` inside the recomputation of sums, several times in a row, then a rest."""
    figures = Figures("kill_workers")
    requests = crew.ask("seed", HOURS, rows)
    never_wrong = still_wrong = killed = lost = 0
    for number, place in enumerate(kill_points(kills)):
        if number % _IN_A_ROW == 0:
            crew.ask("forget")
            crew.ask("spoil", 3)
            spoilt = set(crew.ask("wrong_hours"))
            crew.ask("enqueue", "roll-up-recent-hours")
        dying = crew.worker(place, CHATVAULT_CELERY_POOL="threads")  # it is the worker that dies
        killed += dying.wait() == -9
        never_wrong += len(set(crew.ask("wrong_hours")) - spoilt)
        if number % _IN_A_ROW == _IN_A_ROW - 1 or number == kills - 1:
            worker = crew.worker()
            crew.wait_for_state("roll-up-recent-hours")
            worker.stop()
            still_wrong += len(crew.ask("wrong_hours"))
            lost += crew.ask("counts").get("lost", 0)
    figures.note(requests=requests)
    figures.require(
        kills=(killed, kills),
        runs_told_as_lost=(lost, kills),
        hours_made_wrong_by_a_kill=(never_wrong, 0),
        hours_still_wrong_after_the_next_run=(still_wrong, 0),
        differences=(crew.ask("differences"), 0),
    )
    return figures.show()


def poison(crew: Crew) -> Figures:
    """A job that kills the process it runs in, every time: it is given up, and the worker lives."""
    figures = Figures("poison")
    crew.ask("seed", 2, 5)
    worker = crew.worker("job-step:3", CHATVAULT_CELERY_POOL="prefork")
    crew.ask("enqueue", "roll-up-recent-hours")
    crew.wait_for_state("roll-up-recent-hours", "failed")
    states = [run[0] for run in crew.ask("runs", "roll-up-recent-hours")]
    crew.ask("enqueue", "apply-retention")
    crew.wait_for_state("apply-retention")
    figures.require(
        lost=(states.count("lost"), 5),
        given_up=(states.count("failed"), 1),
        worker_lives=(worker.is_running, True),
    )
    worker.kill()
    return figures.show()


def repeat_messages(crew: Crew, *, hours: int = 20, times: int = 3, beats_s: int = 12) -> Figures:
    """F27: every message three times in a mixed order to two workers, and two beats at once."""
    figures = Figures("repeat_messages")
    crew.ask("seed", hours, 40)
    crew.ask("spoil", 2)
    workers = [crew.worker(), crew.worker()]
    sent = crew.ask("shuffle_in", hours, times, 27)
    crew.wait_until_idle()
    hourly = [run[0] for run in crew.ask("runs", "roll-up-hour")]
    crew.ask("every", "roll-up-recent-hours", 2)
    beats = [crew.beat(), crew.beat()]
    name = "roll-up-recent-hours"
    wait_until(lambda: len(crew.ask("runs", name)) > 0)
    before = len(crew.ask("runs", name))
    time.sleep(beats_s)
    scheduled = len(crew.ask("runs", name)) - before
    beats[0].kill()  # the other one goes on
    wait_until(lambda: len(crew.ask("runs", name)) > before + scheduled + 1, 30)
    beats[1].stop()
    crew.wait_until_idle()
    for worker in workers:
        worker.stop()
    figures.note(messages=sent, scheduled_runs=scheduled)
    figures.require(
        done=(hourly.count("done"), hours),
        other_ends=(len(hourly) - hourly.count("done"), 0),
        differences=(crew.ask("differences"), 0),
    )
    figures.at_most(runs_of_two_beats=(scheduled, beats_s / 2 + 1))
    return figures.show()


def lose_messages(crew: Crew, flush: Callable[[], None], *, patiently: bool = True) -> Figures:
    """F28: everything in the broker vanishes while nobody works; the next looks clear it up.

    Impatiently the minute until the first look is not waited for but told to the rows.
    """
    figures = Figures("lose_messages")
    crew.ask("forget")
    crew.ask("seed", HOURS, 40)
    crew.ask("spoil", 2)
    names = ["roll-up-recent-hours", "verify-ledger", "forget-the-old", "apply-retention"]
    waiting = sum(bool(crew.ask("enqueue", name)) for name in names)
    flush()
    if patiently:
        beat, worker = crew.beat(), crew.worker()
        took_s = wait_until(lambda: "queued" not in crew.ask("counts"), 150)
        crew.wait_until_idle()
        beat.stop()
        figures.at_most(cleared_s=(took_s, 120.0))
    else:
        crew.ask("age", 61)
        worker = crew.worker()
        figures.note(cleared_s=crew.wait_until_idle())
    worker.stop()
    figures.require(
        waiting=(waiting, len(names)),
        differences=(crew.ask("differences"), 0),
        left=(crew.ask("counts").get("queued", 0), 0),
    )
    return figures.show()
