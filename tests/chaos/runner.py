"""Runs scenarios one after the other; those with equal needs share a site while it is sound."""

import random
import shutil
import time
import traceback
from pathlib import Path

from tests.chaos.record import Record
from tests.chaos.scenario import NINE, Scenario
from tests.chaos.site import Site
from tests.proofs.figures import Figures

_LOG_LINES = 40


class Runner:
    def __init__(self, folder: Path, seed: int, record: Record) -> None:
        self._folder = folder
        self._seed = seed
        self._record = record
        self._site: Site | None = None
        self._made = 0

    def run(self, scenarios: list[Scenario]) -> dict[str, str]:
        """Those that are broken, and why."""
        broken = {}
        order = list(dict.fromkeys(each.spec for each in scenarios))
        try:
            for each in sorted(scenarios, key=lambda one: order.index(one.spec)):
                if why := self._one(each):
                    broken[each.name] = why
        finally:
            self._leave()
        return broken

    def _one(self, scenario: Scenario) -> str:
        print(f"chaos: {scenario.name}: {scenario.title}", flush=True)
        figures = Figures(scenario.name, dict.fromkeys(NINE))
        began = time.monotonic()
        try:
            site = self._site_for(scenario)
            scenario.run(site, figures, random.Random(f"{self._seed} {scenario.name}"))
        except Exception:  # a scenario that cannot be run to its end is broken too
            traceback.print_exc()
            self._show_logs()
            figures.require(ran_to_its_end=(False, True))
        took_s = time.monotonic() - began
        figures.note(took_s=round(took_s, 1))
        figures.show()
        self._record.add(scenario, figures, seed=self._seed, took_s=took_s)
        if figures.broken or not scenario.keeps_site:
            self._leave()
        return "; ".join(f"{name} is {why}" for name, why in figures.broken.items())

    def _site_for(self, scenario: Scenario) -> Site:
        if self._site is not None and self._site.spec == scenario.spec:
            return self._site
        self._leave()
        self._made += 1
        self._site = Site(self._folder / f"site{self._made}", scenario.spec)
        return self._site.start()  # what it started before it failed is stopped all the same

    def _leave(self) -> None:
        if self._site is not None:
            site, self._site = self._site, None
            site.stop()
            shutil.rmtree(site.folder, ignore_errors=True)

    def _show_logs(self) -> None:
        if self._site is None:
            return
        for path in self._site.folder.glob("home*.log"):
            lines = path.read_text(errors="replace").splitlines()
            print("\n".join([f"--- {path.name}", *lines[-_LOG_LINES:]]), flush=True)
