"""`python -m tests.chaos.soak`: an hour of light load on one installation, with kills and changes.

SOAK_MINUTES shortens it. Every few minutes the books are compared; every 10 s what processes and
servers take is noted. Two gateways are killed now and then, two live all the while: theirs is the
memory whose growth is judged.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import rss_mb
from tests.chaos import report
from tests.chaos.record import Record
from tests.chaos.scenario import NINE, Scenario
from tests.chaos.scenarios.kills import kill
from tests.chaos.scenarios.strain import descriptors
from tests.chaos.site import DATABASE, Site, Spec
from tests.chaos.trial import Trial
from tests.proofs.figures import Figures

SAMPLE_S = 10.0
CYCLE_S = 240.0
WARM_UP = 0.25
"""The part at the beginning in which caches fill."""
SLOPE_PERCENT_AN_HOUR = 1.0
JUDGED_FROM_MINUTES = 45.0
"""A slope over less is noise."""
_LAG_MS = 50.0
_ADDED = ("lost", "dup", "overspend", "phantom", "leaked", "overdrawn", "false_success", "hung",
          "misstated", "forgotten", "damaged_records")  # fmt: skip


@dataclass
class Samples:
    """What was seen at each look; `at_s` from the beginning."""

    at_s: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, at_s: float, seen: dict[str, float]) -> None:
        self.at_s.append(at_s)
        for name, value in seen.items():
            self.values.setdefault(name, []).append(value)

    def warm(self, name: str) -> tuple[list[float], list[float]]:
        begin = int(len(self.at_s) * WARM_UP)
        return self.at_s[begin:], self.values[name][begin:]

    def growth(self, name: str) -> float:
        """Percent an hour, by the line that fits best."""
        at_s, values = self.warm(name)
        if len(values) < 3:
            return 0.0
        fit = statistics.linear_regression(at_s, values)
        return round(100 * fit.slope * 3600 / statistics.mean(values), 2)


class Watch:
    """Looks every 10 s, in a thread."""

    def __init__(self, site: Site) -> None:
        node = site.node
        self._site = site
        self._pids = {
            "gateways": [node.child("gateway3"), node.child("gateway4")],
            "ingest": [node.child("ingest")],
            "beat": [node.child("beat")],
            "supervisor": [node.running().pid],
        }
        self.samples = Samples()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def names(self) -> list[str]:
        return list(self._pids)

    def _run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(SAMPLE_S):
            self.samples.add(time.monotonic() - began, self._look())

    def _look(self) -> dict[str, float]:
        site, seen = self._site, {}
        for name, pids in self._pids.items():
            seen[f"{name}_rss_mb"] = sum(map(rss_mb, pids))
            seen[f"{name}_descriptors"] = float(sum(map(descriptors, pids)))
        seen["livez_ms"] = _livez_ms(site)
        seen["journal_mb"] = _bytes_in(site.node.journal) / 1e6
        seen["postgres_mb"] = _or_zero(
            lambda: float(site.query("SELECT pg_database_size(%s)", DATABASE)[0][0]) / 1e6
        )
        seen["redis_mb"] = _or_zero(lambda: _redis_bytes(site) / 1e6)
        return seen


def _livez_ms(site: Site) -> float:
    """How long a gateway takes for the least that it can do: is its event loop free?"""
    began = time.monotonic()
    with suppress(OSError), urllib.request.urlopen(f"{site.url}/livez", timeout=10):
        pass
    return (time.monotonic() - began) * 1000


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.glob("*.cvj"):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def _redis_bytes(site: Site) -> float:
    with site.redis.client() as client:
        return float(client.info("memory")["used_memory"])  # type: ignore[index]


def _or_zero(read: Callable[[], float]) -> float:
    """A server that is away just now has no size."""
    try:
        return read()
    except Exception:  # of either server's client
        return 0.0


def _disturb(site: Site, trial: Trial, chance: random.Random) -> str:
    """One of the things that happen in an hour; its name."""
    what = chance.choice(("gateway", "gateway", "worker", "budgets", "redis_empty", "redis_silent",
                          "postgres"))  # fmt: skip
    if what == "gateway":
        kill(site.node.child(chance.choice(("gateway1", "gateway2"))))
    elif what == "worker":
        kill(site.node.child("worker"))
    elif what == "budgets":
        trial.raise_budget(1_000_000)
    elif what == "redis_empty":
        site.redis.flush()
    elif what == "redis_silent":
        site.redis.pause()
        time.sleep(2)
        site.redis.resume()
    else:
        site.postgres.kill()
        time.sleep(2)
        site.postgres.start()
    return what


def soak(folder: Path, minutes: float, seed: int) -> Figures:
    figures = Figures("soak", dict.fromkeys(NINE))
    chance = random.Random(seed)
    totals, events, requests = dict.fromkeys(_ADDED, 0), 0, 0
    site = Site(folder, Spec())
    try:
        site.start()
        with Watch(site) as watch:
            ends = time.monotonic() + minutes * 60
            cycle = 0
            while time.monotonic() < ends:
                cycle += 1
                part = Figures(f"soak{cycle}")
                with Trial(site, part, clients=24, pause_s=0.1, seed=seed + cycle) as trial:
                    until = min(ends, time.monotonic() + CYCLE_S)
                    while time.monotonic() < until:
                        time.sleep(min(chance.uniform(20, 60), max(1.0, until - time.monotonic())))
                        print(f"soak: {cycle}: {_disturb(site, trial, chance)}", flush=True)
                        events += 1
                    time.sleep(5)
                part.show()
                requests += int(part.values["requests"])
                for name in _ADDED:
                    totals[name] += int(part.values.get(name) or 0)
        _judge(figures, watch, minutes)
        figures.require(verify_ledger=(site.verdict(), "clean"))
    finally:
        site.stop()
    figures.note(minutes=minutes, cycles=cycle, requests=requests, disturbed=events)
    figures.require(**{name: (total, 0) for name, total in totals.items()})
    return figures.show()


def _judge(figures: Figures, watch: Watch, minutes: float) -> None:
    samples = watch.samples
    for name in watch.names:
        _, rss = samples.warm(f"{name}_rss_mb")
        figures.note(**{f"{name}_rss_mb": round(statistics.mean(rss))})
        growth = samples.growth(f"{name}_rss_mb")
        _, open_files = samples.warm(f"{name}_descriptors")
        figures.note(**{f"{name}_descriptors": f"{min(open_files):.0f} to {max(open_files):.0f}"})
        if minutes >= JUDGED_FROM_MINUTES:
            figures.at_most(**{f"{name}_rss_percent_an_hour": (growth, SLOPE_PERCENT_AN_HOUR)})
        else:
            figures.note(**{f"{name}_rss_percent_an_hour": growth})
    lags = sorted(samples.values["livez_ms"])
    figures.note(livez_p99_ms=round(lags[int(len(lags) * 0.99)], 1), livez_goal_ms=_LAG_MS)
    for name in ("journal_mb", "postgres_mb", "redis_mb"):
        sizes = samples.values[name]
        figures.note(**{f"{name}_max": round(max(sizes), 1), f"{name}_last": round(sizes[-1], 1)})


SOAK = Scenario(
    "soak", "F45", "R1 R3 R6 R13", "Light load for an hour, with kills and changes",
    lambda *_: None, Spec(), is_long=True, keeps_site=False,
)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    minutes = float(os.environ.get("SOAK_MINUTES") or 60)
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    print(f"soak: {asked.minutes:g} minutes, seed {asked.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cv-soak-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        figures = soak(Path(folder) / "site", asked.minutes, asked.seed)
    Record(asked.json).add(SOAK, figures, seed=asked.seed, took_s=time.monotonic() - began)
    if asked.json:
        report.write(asked.json, report.PAGE)
    return 1 if figures.broken else 0


if __name__ == "__main__":
    sys.exit(main())
