"""Fill a PostgreSQL of its own with made-up usage and measure reports, lists, ingest and exports.

`make bench-reports ROWS=1000000 DAYS=90`; TRACE names a CSV to draw sizes from. With KEEP=<folder>
the database stays there, and another run with it measures without filling again. After all that is
timed the books are verified; `--no-verify` leaves that out.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "512MB",
    "effective_cache_size": "8GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "random_page_cost": "1.1",
    "synchronous_commit": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "max_parallel_workers_per_gather": "2",
    "jit": "off",
}


def main() -> None:
    from tests.servers.postgres import PostgresServer, running_postgres

    asked = argparse.ArgumentParser(prog="benchmarks.reports")
    asked.add_argument(
        "--no-verify", action="store_true", help="Do not verify the books at the end."
    )
    verifies = not asked.parse_args().no_verify
    kept = os.environ.get("KEEP", "")
    with tempfile.TemporaryDirectory(prefix="chatvault-bench-") as home:
        os.environ |= {"CHATVAULT_HOME": home, "DJANGO_SETTINGS_MODULE": "chatvault.settings"}
        if not kept:
            with running_postgres(**SETTINGS) as server:
                os.environ["DATABASE_URL"] = server.make_database("reports")
                _measure(Path(home), is_filled=False, verifies=verifies)
            return
        folder = Path(kept)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        server = PostgresServer(folder / "server", **SETTINGS)
        is_filled = server.data.exists()
        server.start()
        try:
            os.environ["DATABASE_URL"] = (
                server.url("reports") if is_filled else server.make_database("reports")
            )
            _measure(Path(home), is_filled=is_filled, verifies=verifies)
        finally:
            server.stop()


def _measure(home: Path, *, is_filled: bool, verifies: bool) -> None:
    import django

    django.setup()
    from benchmarks.reports import run

    run.run(home, is_filled=is_filled, verifies=verifies)


if __name__ == "__main__":
    main()
