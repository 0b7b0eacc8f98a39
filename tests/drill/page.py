"""The measured part of docs/backup.md."""

import os
import re
from datetime import UTC, datetime

from tests.drill.cases import BEFORE, DURING, Result
from tests.run.tree import ROOT

PAGE = ROOT / "docs/backup.md"
_BLOCK = re.compile(r"(<!-- drill -->\n).*?(<!-- /drill -->)", re.DOTALL)


def write(results: list[Result]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    block = "\n".join(_lines(results))
    PAGE.write_text(_BLOCK.sub(lambda m: f"{m[1]}{block}\n{m[2]}", text), encoding="utf-8")


def _lines(results: list[Result]) -> list[str]:
    return [
        f"Measured by `make restore-drill` on {datetime.now(tz=UTC):%Y-%m-%d}, {os.cpu_count()} "
        f"cores, about {BEFORE} requests before the backup and {DURING} after it.",
        "",
        "| Disaster | Acknowledged | Lost | Differ | Lost time (RPO) | Back after (RTO) | Holds |",
        "|---|---:|---:|---:|---:|---:|---|",
        *(
            f"| {one.name} | {one.acked} | {one.lost} | {one.differing} | {one.lost_s:.1f} s "
            f"| {one.restore_s:.1f} s | {'yes' if one.holds else '**no**'} |"
            for one in results
        ),
    ]
