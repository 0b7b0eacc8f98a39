"""`python -m tests.chaos [NAME …]`: scenarios on real servers; exits 1 when a promise is broken.

Without names: all but the long ones. `--list` names them. Figures go to `--json` as they come.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

import tests.chaos.scenarios  # noqa: F401 - fills the table
from tests.chaos import report
from tests.chaos.record import Record
from tests.chaos.runner import Runner
from tests.chaos.scenario import SCENARIOS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where the figures are kept")
    asked = parser.parse_args()
    if asked.list:
        for each in SCENARIOS.values():
            print(f"{each.name:<22} {each.faults:<12} {each.title}{' (long)' * each.is_long}")
        return 0
    names = asked.names or [name for name, each in SCENARIOS.items() if not each.is_long]
    if unknown := set(names) - SCENARIOS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    print(f"chaos: {len(names)} scenarios, seed {asked.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # servers are ended on the way out
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cv-chaos-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        broken = Runner(Path(folder), asked.seed, Record(asked.json)).run(
            [SCENARIOS[name] for name in names]
        )
    print(f"chaos: {len(names) - len(broken)} of {len(names)} hold, seed {asked.seed}, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    if asked.json:
        report.write(asked.json, report.PAGE)
    for name, why in broken.items():
        print(f"chaos: {name} is broken: {why}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
