"""docs/benchmarks-reports.md"""

from __future__ import annotations

import os
import platform
import statistics
import time
from typing import Any, Final, NamedTuple


class Goal(NamedTuple):
    """What a figure should be: at most so many ms, or at least so many a second."""

    name: str
    wanted: float
    unit: str

    @property
    def text(self) -> str:
        return f"{'≤' if self.unit == 'ms' else '≥'} {self.wanted:,.0f} {self.unit}"

    def verdict(self, value: float) -> str:
        is_met = value <= self.wanted if self.unit == "ms" else value >= self.wanted
        return "met" if is_met else "missed"


SUMMARY: Final = Goal("each summary query, on average", 100, "ms")
PAGE: Final = Goal("request log, any filter, page 1 and 10,000", 300, "ms")
INGEST: Final = Goal("ingest beside reads", 10_000, "rows/s")
CSV: Final = Goal("export as CSV", 100_000, "rows/s")
VERIFY: Final = Goal("verify the books", 20_000, "requests/s")
_NONE: Final = "none set"


def written(found: dict[str, Any]) -> str:
    size, sums, ingest = found["size"], found["summaries"], found["ingest"]
    mean = statistics.mean(one["mean_ms"] for one in sums)
    return "\n".join(
        [
            "# Benchmarks of reports",
            "",
            *_introduction(found, size),
            "| goal | wanted | measured | |",
            "|---|---:|---:|---|",
            *(
                f"| {goal.name} | {goal.text} | {value:,.0f} {goal.unit} | {goal.verdict(value)} |"
                for goal, value in _measured(found)
            ),
            "",
            "`measured` is the slowest query and page below, each the mean of its rounds.",
            f"The mean of all summary queries is {mean:,.0f} ms.",
            "",
            "## Summaries",
            "",
            "With percentiles of latency.",
            "",
            f"| query | lines | mean ms | most ms | goal: {SUMMARY.text} |",
            "|---|---:|---:|---:|---|",
            *(f"| {one['name']} | {one['lines']:,} | {_times(one, SUMMARY)} |" for one in sums),
            "",
            "## Request log",
            "",
            "The whole answer of Django, with sign-in, templates or serializers.",
            "",
            f"| page | mean ms | most ms | goal: {PAGE.text} |",
            "|---|---:|---:|---|",
            *(f"| {one['name']} | {_times(one, PAGE)} |" for one in found["lists"]),
            "",
            "## Exports",
            "",
            "| format | requests | requests/s | MB | peak memory of the process, MB | goal |",
            "|---|---:|---:|---:|---:|---|",
            *map(_export, found["exports"]),
            "",
            "## Ingest",
            "",
            f"{ingest['requests']:,} requests from a journal:",
            f"{ingest['requests_s']:,.0f} requests/s,",
            f"{ingest['rows_s']:,.0f} rows/s of requests, calls and ledger (goal: {INGEST.text}),",
            f"in one process, while another one asked {ingest['reads']} summaries,",
            f"{ingest['read_ms']:,.0f} ms each.",
            "",
            *_filling(found.get("filling")),
            *_verified(found),
        ]
    )


def _measured(found: dict[str, Any]) -> list[tuple[Goal, float]]:
    figures = [
        (SUMMARY, max(one["mean_ms"] for one in found["summaries"])),
        (PAGE, max(one["mean_ms"] for one in found["lists"])),
        (INGEST, found["ingest"]["rows_s"]),
        (CSV, next(one["rows_s"] for one in found["exports"] if one["format"] == "csv")),
    ]
    if found.get("verify_s"):
        figures.append((VERIFY, _verified_s(found)))
    return figures


def _verified_s(found: dict[str, Any]) -> float:
    requests: int = found["size"]["requests"] + found["ingest"]["requests"]
    return requests / float(found["verify_s"])


def _times(one: dict[str, Any], goal: Goal) -> str:
    return f"{one['mean_ms']:,.0f} | {one['most_ms']:,.0f} | {goal.verdict(one['mean_ms'])}"


def _export(one: dict[str, Any]) -> str:
    goal = f"{CSV.text}: {CSV.verdict(one['rows_s'])}" if one["format"] == "csv" else _NONE
    cells = [one["format"], f"{one['rows']:,}", f"{one['rows_s']:,.0f}"]
    cells += [f"{one['bytes'] / 1e6:,.0f}", f"{one['mb']:,}", goal]
    return f"| {' | '.join(cells)} |"


def _introduction(found: dict[str, Any], size: dict[str, int]) -> list[str]:
    loads = f"{found['load_before']:.1f} before and {found['load_after']:.1f} after"
    return [
        f"Written by `make bench-reports` on {time.strftime('%Y-%m-%d', time.gmtime())}; do not",
        f"edit. One run on {os.cpu_count()} cores (load average {loads}), Python",
        f"{platform.python_version()}, PostgreSQL 18 with 2 GB of shared buffers and fsync on the",
        "same machine.",
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
        "",
        f"`generate_usage` made {filling['rows_s']:,.0f} requests/s with their calls, ledger and",
        f"hours ({filling['fill_s'] / 60:,.1f} minutes); a day is summed up in",
        f"{filling['day_s']:,.2f} s. Goal: {_NONE}.",
        "",
    ]


def _verified(found: dict[str, Any]) -> list[str]:
    if not found.get("verify_s"):
        return []
    return [
        "## Books",
        "",
        "At the end `verify_ledger` found no difference, also in what was ingested, in",
        f"{found['verify_s']:,.0f} s: {_verified_s(found):,.0f} requests/s (goal: {VERIFY.text}).",
        "",
    ]
