"""Writes the measured parts of docs/capacity.md from docs/capacity.json."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/capacity.md"
FIGURES = ROOT / "docs/capacity.json"
_PRUDENT = 0.6  # of what a core can do: peaks and neighbours need the rest
_ROWS_A_DAY_S = 86_400
_KIB_A_REQUEST = 1.1  # of ledger and log, indexes included: docs/postgresql.md
_WIDE = "four scopes (8 quotas, 2 budgets)"

Figures = dict[str, Any]


def capacity_page() -> str:
    """The page with its blocks written anew; what is not measured yet is said so."""
    figures: Figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    blocks: dict[str, Callable[[Figures], list[str]]] = {"measured": _measured, "load": _load}
    for name, write in blocks.items():
        before, rest = text.split(f"<!-- {name} -->\n")
        _, after = rest.split(f"<!-- /{name} -->")
        lines = "\n".join(write(figures))
        text = f"{before}<!-- {name} -->\n{lines}\n<!-- /{name} -->{after}"
    return text


def redis_us(figures: Figures, calls: int, shape: str = _WIDE) -> float:
    """Processor time of Redis for one request: it is reserved and settled."""
    server = figures["limits_in_redis"]["shapes"][shape]["server"]
    return sum(
        float(server[f"{verb}, {calls} a call"]["server_cpu_us"]) for verb in ("reserve", "settle")
    )


def _measured(figures: Figures) -> list[str]:
    limits, ingest = figures["limits_in_redis"], figures["ingest"]
    lines = ["| What | Figure | Measured |", "|---|---:|---|"]
    for shape in limits["shapes"]:
        for calls in (1, 16):
            us = redis_us(figures, calls, shape)
            told = f"Redis, a request with {shape}, {calls} a call"
            lines.append(_row(told, f"{us:.0f} µs, {1e6 / us:,.0f} requests/s a core", limits))
        process = limits["shapes"][shape]["process"]
        more = process["through_redis_cpu_us"] - process["in_memory_cpu_us"]
        lines.append(_row(f"Gateway, limits in Redis, {shape}", f"{more:+.1f} µs", limits))
    told = f"Ingest and PostgreSQL, batches of {ingest['batch']}"
    speed = f"{ingest['requests_s']:,} requests/s, {ingest['rows_s']:,} rows/s"
    lines.append(_row(told, speed, ingest))
    lines.append(_row("Ingest's own part", f"{ingest['cpu_us_a_request']} µs a request", ingest))
    for part, values in figures.get("node", {}).get("parts", {}).items():
        shown = ", ".join(f"{name.replace('_', ' ')} {value:,g}" for name, value in values.items())
        lines.append(_row(f"A node: {part}", shown, figures["node"]))
    return lines


def _row(what: str, figure: str, part: Figures) -> str:
    where = f"{part['measured_on']}, {part['machine']}, load {part['load_average']}"
    return f"| {what} | {figure} | {where} |"


def _load(figures: Figures) -> list[str]:
    single, batched = redis_us(figures, 1), redis_us(figures, 16)
    ingest = figures["ingest"]["requests_s"]
    lines = [
        "| Requests/s | Redis, of one core | Ingest, of one that is always busy | Rows a day "
        "| Disk a day |",
        "|---:|---:|---:|---:|---:|",
    ]
    for rate in (50, 200, 1_000, 3_000, 10_000):
        redis = f"{rate * batched / 1e4:.0f}–{rate * single / 1e4:.0f} %"
        rows = rate * _ROWS_A_DAY_S
        disk = rows * _KIB_A_REQUEST / 2**20
        lines.append(
            f"| {rate:,} | {redis} | {rate / ingest:.0%} | {5 * rows / 1e6:,.0f} M "
            f"| {disk:,.0f} GiB |"
        )
    most = _PRUDENT * 1e6
    lines += [
        "",
        f"With a core of Redis at {_PRUDENT:.0%}, one installation carries {most / single:,.0f} "
        f"requests/s when each comes alone and {most / batched:,.0f} when a busy gateway puts 16 "
        f"into a call. Ingest at {_PRUDENT:.0%} carries {_PRUDENT * ingest:,.0f} requests/s for "
        "each node, PostgreSQL having a core for it.",
    ]
    return lines


def main() -> None:
    PAGE.write_text(capacity_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
