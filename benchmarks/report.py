"""Tables from the medians: for the terminal and for docs/benchmarks.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import ratio
from benchmarks.goals import Medians, Verdict, judge


@dataclass(frozen=True, slots=True)
class Row:
    """A figure as it is shown. `with_direct` says whether the bare mock has it too."""

    figure: str
    text: str
    digits: int
    with_direct: bool = False


ROWS = (
    Row("rps_1", "requests/s, 1 connection", 0, True),
    Row("p50_ms_1", "p50 ms, 1 connection", 3, True),
    Row("p99_ms_1", "p99 ms, 1 connection", 3, True),
    Row("rps_32", "requests/s, 32 connections", 0, True),
    Row("p50_ms_32", "p50 ms, 32 connections", 2, True),
    Row("p99_ms_32", "p99 ms, 32 connections", 2, True),
    Row("request_front_cpu_us_32", "CPU µs per request on the gateway core, 32 connections", 0),
    Row("request_cpu_us_32", "CPU µs per request of all its processes, 32 connections", 0),
    Row("request_whole_cpu_us", "CPU µs per request of all, with the work that follows it", 0),
    Row("key_rps_32", "requests/s with a key, turn about with a JWT", 0),
    Row("jwt_rps_32", "requests/s with a JWT, turn about with a key", 0),
    Row("key_cpu_us_32", "CPU µs per request with a key", 0),
    Row("jwt_cpu_us_32", "CPU µs per request with a JWT", 0),
    Row("first_chunk_ms", "first chunk p50 ms", 3, True),
    Row("first_chunk_added_ms", "first-chunk delay added, ms", 3),
    Row("chunk_cpu_us", "CPU µs per streamed chunk", 1),
    Row("streams", "20 ms-paced streams without a stall", 0, True),
    Row("worker_rss_mb", "memory of the gateway process, MB", 0),
    Row("all_pss_mb", "memory of all its processes, MB", 0),
    Row("ready_s", "start to ready, s", 2),
)

PRODUCTION_ROWS = (
    Row("processes_rate", "requests/s offered at the same rate", 0),
    Row(
        "one_full_front_cpu_us",
        "CPU µs per request of the gateway, one gateway process, at 32 connections",
        0,
    ),
    Row(
        "four_full_front_cpu_us",
        "CPU µs per request of the gateway, four gateway processes, at 32 connections",
        0,
    ),
    Row(
        "one_full_whole_cpu_us",
        "CPU µs per request of all, one gateway process, at 32 connections",
        0,
    ),
    Row(
        "four_full_whole_cpu_us",
        "CPU µs per request of all, four gateway processes, at 32 connections",
        0,
    ),
    Row(
        "one_rate_front_cpu_us",
        "CPU µs per request of the gateway, one gateway process, at the same rate",
        0,
    ),
    Row(
        "four_rate_front_cpu_us",
        "CPU µs per request of the gateway, four gateway processes, at the same rate",
        0,
    ),
    Row(
        "one_rate_whole_cpu_us",
        "CPU µs per request of all, one gateway process, at the same rate",
        0,
    ),
    Row(
        "four_rate_whole_cpu_us",
        "CPU µs per request of all, four gateway processes, at the same rate",
        0,
    ),
    Row("outage_p99_ms_before", "p99 ms before Redis stops", 2),
    Row("outage_p99_ms_first", "p99 ms in the first second after it", 2),
    Row("outage_p99_ms_later", "p99 ms while it stays stopped", 2),
    Row("outage_p99_ms_again", "p99 ms after it goes on", 2),
    Row("outage_errors", "requests refused meanwhile", 0),
)
OURS = ("chatvault", "chatvault-production")
Titles = Mapping[str, str]
"""Gateway name to the name it is shown by, in the order of the columns."""


def shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def with_added_delay(medians: Medians) -> dict[str, dict[str, float]]:
    """The medians with each gateway's first-chunk delay over the bare mock's."""
    whole = {name: dict(figures) for name, figures in medians.items()}
    bare = whole.get("direct", {}).get("first_chunk_ms")
    for name, figures in whole.items():
        if name != "direct" and bare is not None and "first_chunk_ms" in figures:
            figures["first_chunk_added_ms"] = figures["first_chunk_ms"] - bare
    return whole


def figure_cells(medians: Medians, titles: Titles) -> list[list[str]]:
    """Header and rows of the measured medians."""
    cells = [["", *titles.values()]]
    for row in ROWS:
        values = [medians.get(name, {}).get(row.figure) for name in titles]
        if any(value is not None for value in values):
            cells.append([row.text, *(shown(value, row.digits) for value in values)])
    return cells


def production_cells(medians: Medians) -> list[list[str]]:
    """Header and rows of what only production has; empty when nothing of it was measured."""
    figures = medians.get("chatvault-production", {})
    cells = [
        [row.text, shown(figures[row.figure], row.digits)]
        for row in PRODUCTION_ROWS
        if row.figure in figures
    ]
    return [["", "ChatVault production"], *cells] if cells else []


def ratio_cells(medians: Medians, titles: Titles, mode: str = "chatvault") -> list[list[str]]:
    """Header and rows of one mode's figure over each other gateway's."""
    peers = [name for name in titles if name not in (*OURS, "direct")]
    ours = medians.get(mode, {})
    cells = [[f"{titles[mode]} ÷ …", *(titles[name] for name in peers)]]
    for row in ROWS:
        values = [ratio(ours.get(row.figure), medians.get(name, {}).get(row.figure))
                  for name in peers]  # fmt: skip
        if any(value is not None for value in values):
            cells.append([row.text, *(f"{shown(value, 2)}×" if value is not None else "–"
                                      for value in values)])  # fmt: skip
    return cells


def goal_cells(medians: Medians) -> list[list[str]]:
    cells = [["goal", "wanted", "measured", ""]]
    for verdict in judge(medians):
        cells.append([verdict.goal.text, wanted(verdict), measured(verdict), _mark(verdict)])
    return cells


def wanted(verdict: Verdict) -> str:
    """The goal's bound as it is shown."""
    goal = verdict.goal
    return f"{'≥' if goal.at_least else '≤'} {goal.wanted:g}{goal.unit}"


def measured(verdict: Verdict) -> str:
    """The measured figure as it is shown."""
    if verdict.measured is None:
        return "–"
    digits = 0 if verdict.measured >= 100 else 1 if verdict.measured >= 20 else 2
    return f"{shown(verdict.measured, digits)}{verdict.goal.unit}"


def _mark(verdict: Verdict) -> str:
    return {None: "not measured", True: "met", False: "missed"}[verdict.met]


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """A table for the terminal: first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for row in cells:
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join((row[0].ljust(widths[0]), *rest)).rstrip())
    return "\n".join(lines)


def markdown(cells: Sequence[Sequence[str]]) -> str:
    head, *rows = cells
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
