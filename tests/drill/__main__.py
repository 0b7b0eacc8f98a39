"""`make restore-drill`: backs up a ChatVault that is busy, destroys it, restores it elsewhere.

Two sources, PostgreSQL (with Redis and two gateway processes) and SQLite. Each is backed up under
traffic, goes on, and is killed with its database wiped. Then it is restored in a clean folder: once
from the backup alone, once with the journal of a disk that survived. The restored ledger must be
the source's, request by request. Exits 1 when a promise does not hold; writes docs/backup.md.
"""

import sys
import tempfile
from pathlib import Path

from tests.drill import page
from tests.drill.cases import Result, drill_postgres, drill_sqlite


def main() -> int:
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="cv-drill-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user
        for drill in (drill_postgres, drill_sqlite):
            place = folder / drill.__name__
            place.mkdir(mode=0o755)
            for result in drill(place):
                print(f"restore-drill: {result.line()}", flush=True)
                results.append(result)
    page.write(results)
    wrong = [result.name for result in results if not result.holds]
    print(f"restore-drill: {'does not hold: ' + ', '.join(wrong) if wrong else 'all hold'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
