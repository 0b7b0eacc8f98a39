"""Writes the dashboards of deploy/grafana and the table of metrics in docs/monitoring.md."""

import json
import os
import sys
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from chatvault.lib.metrics.families import Family  # noqa: E402
from scripts.monitoring import money, overview, processes, providers, reliability  # noqa: E402
from scripts.monitoring.panels import rendered  # noqa: E402

DASHBOARDS: Final = tuple(
    module.DASHBOARD for module in (overview, providers, money, reliability, processes)
)
FOLDER: Final = ROOT / "deploy/grafana/dashboards"
PAGE: Final = ROOT / "docs/monitoring.md"
BEGIN, END = "<!-- metrics: written by `make docs` -->\n", "<!-- end of metrics -->\n"
_UNITS: Final = {
    "seconds": "seconds",
    "bytes": "bytes",
    "usd": "US dollars",
    "ratio": "0 to 1",
    "timestamp_seconds": "seconds since 1970",
}


def dashboard_files() -> dict[Path, str]:
    return {
        FOLDER / f"{dashboard.name}.json": json.dumps(rendered(dashboard), indent=2) + "\n"
        for dashboard in DASHBOARDS
    }


def page(before: str) -> str:
    """docs/monitoring.md with its table as the code says."""
    head, _, rest = before.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{_table()}{END}{tail}"


def _table() -> str:
    lines = ["| Name | Type | Unit | Labels | Meaning |", "|---|---|---|---|---|"]
    lines += [_line(family) for family in families()]
    return "\n".join(lines) + "\n"


def families() -> tuple[Family, ...]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatvault.settings")
    import django

    django.setup()
    from apps.gateway.reporting import FAMILIES

    return tuple(sorted(FAMILIES, key=lambda family: family.name))


def _line(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    return f"| `{family.name}` | {family.kind} | {_unit(family)} | {labels} | {family.text} |"


def _unit(family: Family) -> str:
    name = family.name.removesuffix("_total")
    found = [unit for end, unit in _UNITS.items() if name.endswith(f"_{end}")]
    return found[-1] if found else "–"


def main() -> None:
    for path, text in dashboard_files().items():
        path.write_text(text, encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
