"""The figures of runs in one file: each scenario's latest, with when and where it ran."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.scenario import Scenario
from tests.proofs.figures import Figures
from tests.run.tree import ROOT


class Record:
    """Nothing is kept without a file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def add(self, scenario: Scenario, figures: Figures, *, seed: int, took_s: float) -> None:
        if self._path is None:
            return
        kept = load(self._path)
        kept[scenario.name] = {
            "faults": scenario.faults,
            "promises": scenario.promises,
            "title": scenario.title,
            "seed": seed,
            "took_s": round(took_s, 1),
            "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
            "revision": _revision(),
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}",
            "load": round(os.getloadavg()[0], 1),
            "values": figures.values,
            "must": figures.must,
            "most": figures.most,
            "broken": figures.broken,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(kept, indent=1, sort_keys=True, default=str) + "\n")


def load(path: Path) -> dict[str, Any]:
    """By scenario; empty before the first run."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _revision() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
