"""docs/benchmarks-reports.md"""

from __future__ import annotations

import os
import platform
import statistics
import time
from typing import Any


def written(found: dict[str, Any]) -> str:
    size, lists = found["size"], found["lists"]
    sums, ingest = found["summaries"], found["ingest"]
    mean = statistics.mean(one["mean_ms"] for one in sums)
    goals = _goals(found)
    return "\n".join(
        [
            "# Benchmarks of reports",
            "",
            *_introduction(found, size),
            "| goal | wanted | measured | |",
            "|---|---:|---:|---|",
            *(
                f"| {name} | {wanted} | {value:,.0f}{' ms' if unit else ' rows/s'} | "
                f"{'met' if is_met else 'missed'} |"
                for name, wanted, value, is_met, unit in goals
            ),
            "",
            "`measured` is the slowest query and page below, each the mean of its rounds.",
            f"The mean of all summary queries is {mean:,.0f} ms.",
            "",
            "## Summaries",
            "| query | lines | mean ms | most ms |",
            "|---|---:|---:|---:|",
            *(
                f"| {one['name']} | {one['lines']:,} | {one['mean_ms']:,.0f} | "
                f"{one['most_ms']:,.0f} |"
                for one in sums
            ),
            "",
            "With percentiles of latency.",
            "",
            "## Request log",
            "The whole answer of Django, with sign-in, templates or serializers.",
            "",
            "| page | mean ms | most ms |",
            "|---|---:|---:|",
            *(
                f"| {one['name']} | {one['mean_ms']:,.0f} | {one['most_ms']:,.0f} |"
                for one in lists
            ),
            "",
            "## Exports",
            "| format | requests | requests/s | MB | peak memory of the process, MB |",
            "|---|---:|---:|---:|---:|",
            *(
                f"| {one['format']} | {one['rows']:,} | {one['rows_s']:,.0f} | "
                f"{one['bytes'] / 1e6:,.0f} | {one['mb']:,} |"
                for one in found["exports"]
            ),
            "",
            "## Ingest",
            f"{ingest['requests']:,} requests from a journal:",
            f"{ingest['requests_s']:,.0f} requests/s,",
            f"{ingest['rows_s']:,.0f} rows/s of requests, calls and ledger, in one process, while",
            f"a thread of it asked {ingest['reads']} summaries, {ingest['read_ms']:,.0f} ms each.",
            "",
            *_filling(found.get("filling")),
        ]
    )


def _goals(found: dict[str, Any]) -> list[tuple[str, str, float, bool, str]]:
    slowest = max(one["mean_ms"] for one in found["summaries"])
    deepest = max(one["mean_ms"] for one in found["lists"])
    csv = next(one["rows_s"] for one in found["exports"] if one["format"] == "csv")
    rows_s = found["ingest"]["rows_s"]
    return [
        ("each summary query, on average", "≤ 100 ms", slowest, slowest <= 100, "ms"),
        ("request log, any filter, page 1 and 10,000", "≤ 300 ms", deepest, deepest <= 300, "ms"),
        ("ingest beside reads", "≥ 10,000 rows/s", rows_s, rows_s >= 1e4, ""),
        ("export as CSV", "≥ 100,000 rows/s", csv, csv >= 1e5, ""),
    ]


def _introduction(found: dict[str, Any], size: dict[str, int]) -> list[str]:
    loads = f"{found['load_before']:.1f} before and {found['load_after']:.1f} after"
    return [
        f"One run of `make bench-reports` on {time.strftime('%Y-%m-%d', time.gmtime())},",
        f"{os.cpu_count()} cores of a virtual machine that others used at the same time (load",
        f"average {loads}), Python {platform.python_version()}, PostgreSQL 18 with 2 GB of",
        "shared buffers on the same machine.",
        "",
        f"{size['requests']:,} made-up requests over {found['days']} days, {size['entries']:,}",
        f"entries of the ledger, {size['hours']:,} sums of hours, {size['days']:,} of days,",
        f"{size['latencies']:,} of latencies; {size['bytes'] / 1e9:,.1f} GB with indexes.",
        "",
    ]


def _filling(filling: dict[str, float] | None) -> list[str]:
    if not filling:
        return []
    return [
        "## Filling",
        f"`generate_usage` made {filling['rows_s']:,.0f} requests/s with their calls, ledger and",
        f"hours ({filling['fill_s'] / 60:,.1f} minutes); a day is summed up in",
        f"{filling['day_s']:,.2f} s; `verify_ledger` found no difference in",
        f"{filling['verify_s']:,.0f} s.",
        "",
    ]
