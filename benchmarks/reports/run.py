"""The measurements in their order, and the page that they are written on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from benchmarks.reports import exporting, ingesting, lists, page, summaries

KEPT = Path("benchmarks/.env/reports.json")


def run(home: Path, *, is_filled: bool, verifies: bool) -> None:
    rows = int(os.environ.get("ROWS", "1000000").replace("_", ""))
    days = int(os.environ.get("DAYS", "90"))
    began = time.monotonic()
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "days": days}
    if not is_filled:
        found["filling"] = _fill(rows, days)
    found["size"] = _size()
    print(f"{found['size']['requests']:,} requests")
    for name, measure in (
        ("summaries", summaries.measure),
        ("lists", lists.measure),
        ("exports", exporting.measure),
        ("ingest", lambda: ingesting.measure(home)),
    ):
        print(f"-- {name}, {time.monotonic() - began:,.0f} s after the start", flush=True)
        found[name] = measure()
    found["load_after"] = os.getloadavg()[0]
    if KEPT.exists() and "filling" not in found:
        found["filling"] = json.loads(KEPT.read_text()).get("filling")
    found["verify_s"] = _verify() if verifies else None
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(found, indent=1))
    Path("docs/benchmarks-reports.md").write_text(page.written(found))
    print(f"docs/benchmarks-reports.md is written, {time.monotonic() - began:,.0f} s in all")


def _fill(rows: int, days: int) -> dict[str, float]:
    from apps.usage import day_sums

    call_command("migrate", verbosity=0)
    options = {"trace": Path(trace)} if (trace := os.environ.get("TRACE")) else {}
    began = time.monotonic()
    call_command("generate_usage", f"--rows={rows}", f"--days={days}", **options)
    filled = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    vacuumed = time.monotonic()
    day_sums.sum_up(lambda done, total: print(f"\rsummed up {done} of {total} days", end=""))
    summed = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(
            "VACUUM ANALYZE usage_dayrollup, usage_sumview, usage_latencyview, usage_tagday"
        )
    told = {
        "rows_s": rows / (filled - began),
        "fill_s": filled - began,
        "vacuum_s": vacuumed - filled,
        "day_s": (summed - vacuumed) / days,
    }
    print("\n" + ", ".join(f"{name} {value:,.1f}" for name, value in told.items()))
    return told


def _verify() -> float:
    """How long it takes to prove that the books are right, those of what was ingested too."""
    from apps.usage.verify import verify

    print("-- verifying the books", flush=True)
    began = time.monotonic()
    wrong = [finding for finding in verify() if finding.differences]
    assert wrong == [], wrong
    took = time.monotonic() - began
    print(f"no difference, {took:,.0f} s")
    return took


def _size() -> dict[str, int]:
    with connection.cursor() as cursor:
        counts = {}
        for name, table in (
            ("requests", "usage_requestlog"),
            ("entries", "billing_ledgerentry"),
            ("hours", "usage_hoursums"),
            ("days", "usage_dayrollup"),
            ("latencies", "usage_latencyhour"),
        ):
            cursor.execute(f"SELECT count(*) FROM {table}")
            counts[name] = cursor.fetchone()[0]
        cursor.execute("SELECT pg_database_size(current_database())")
        return counts | {"bytes": cursor.fetchone()[0]}
