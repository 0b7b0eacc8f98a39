"""`python -m tests.chaos.report`: docs/reliability.json as tables in docs/reliability.md.

What people wrote on the page stays; what stands between the two marks is written here.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.chaos.record import load
from tests.chaos.scenario import NINE
from tests.run.tree import ROOT

FIGURES = ROOT / "docs/reliability.json"
PAGE = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- written by make reliability: -->", "<!-- until here -->"
_HEADS = ("lost", "dup", "over-spent", "phan-tom", "leaked", "false success", "hung",
          "p99 added ms", "recover s")  # fmt: skip
_SKIPPED = {*NINE, "must", "acked", "rows", "outcomes", "took_s", "counters_differed",
            "counters_differ", "spent_usd", "verify_ledger", "p99_calm_ms"}  # fmt: skip
_OF_EACH = ("requests", "healed_s", "counters_right_s", "free_again_s")


def page(text: str, kept: Mapping[str, Any]) -> str:
    """The page with the tables of these figures in it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables(kept)}\n{END}{after}"


def tables(kept: Mapping[str, Any]) -> str:
    parts = [_overview({name: one for name, one in kept.items() if name != "soak"}), _details(kept)]
    if "soak" in kept:
        parts.append(_soak(kept["soak"]))
    return "\n".join(parts)


def _overview(kept: Mapping[str, Any]) -> str:
    lines = [
        f"| scenario | fault | requests | {' | '.join(_HEADS)} | |",
        f"|---|---|---:|{'---:|' * len(_HEADS)}---|",
    ]
    for name, one in kept.items():
        values = one["values"]
        cells = [_cell(values.get(figure)) for figure in NINE]
        verdict = "**broken**" if one["broken"] else "holds"
        requests = _cell(values.get("requests"))
        lines.append(
            f"| `{name}` | {one['faults']} | {requests} | {' | '.join(cells)} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


def _details(kept: Mapping[str, Any]) -> str:
    lines = ["What each did, and what else it measured:\n"]
    for name, one in kept.items():
        lines.append(f"- `{name}` – {one['title']} ({one['promises']}). {_more(one)}")
        if one["broken"]:
            wrong = "; ".join(f"{figure} is {why}" for figure, why in one["broken"].items())
            lines.append(f"  **Broken:** {wrong}.")
    return "\n".join(lines) + "\n"


def _more(one: Mapping[str, Any]) -> str:
    values, bounds = one["values"], one["most"]
    shown = [name for name in _OF_EACH if values.get(name) is not None]
    shown += [
        name
        for name, value in values.items()
        if name not in _SKIPPED and name not in shown and not _is_as_nothing(value)
    ]
    told = [f"{name} {_cell(values[name])}" + _bound(name, bounds) for name in shown]
    where = f"{one['at']} UTC, `{one['revision']}`, seed {one['seed']}, load {one['load']}"
    return f"{', '.join(told)}; {where}."


def _is_as_nothing(value: Any) -> bool:
    """Zeros and empty lists are what is expected: they would only fill the page."""
    return value in (0, 0.0, None, "", "no", "clean", [], {}) or value is False


def _bound(name: str, bounds: Mapping[str, float]) -> str:
    return f" (at most {bounds[name]:g})" if name in bounds else ""


def _soak(one: Mapping[str, Any]) -> str:
    verdict = "broken" if one["broken"] else "holds"
    lines = [f"The soak of {one['at']} UTC, `{one['revision']}`, {verdict}:\n"]
    lines += ["| figure | |", "|---|---:|"]
    lines += [
        f"| {name} | {_cell(value)}{_bound(name, one['most'])} |"
        for name, value in one["values"].items()
        if value is not None and name not in ("took_s",)
    ]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {count}" for key, count in value.items()) or "none"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def main() -> int:
    write(FIGURES, PAGE)
    return 0


def write(figures: Path, to: Path) -> None:
    to.write_text(page(to.read_text(encoding="utf-8"), load(figures)), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
