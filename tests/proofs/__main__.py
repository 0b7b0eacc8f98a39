"""`python -m tests.proofs [NAME …]`: the proofs at length; exits 1 when a promise does not hold."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.proofs import killing
from tests.proofs.figures import Figures

Proof = Callable[[Path], Figures]

PROOFS: dict[str, Proof] = {
    "kill_gateway": lambda folder: killing.prove(
        "kill_gateway", folder, killing.gateway, kills=20, life_s=(2, 14)
    ),
    "kill_ingest": lambda folder: killing.prove(
        "kill_ingest", folder, killing.ingest, kills=6, life_s=(1, 4)
    ),
    "kill_everything": lambda folder: killing.prove(
        "kill_everything", folder, killing.everything, kills=6, life_s=(2, 5)
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROOFS))
    names = parser.parse_args().names or list(PROOFS)
    if unknown := set(names) - PROOFS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    failed = []
    for name in names:
        print(f"proofs: {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix=f"chatvault-{name}-") as folder:
            if PROOFS[name](Path(folder)).broken:
                failed.append(name)
    print(f"proofs: {len(names) - len(failed)} of {len(names)} hold")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
