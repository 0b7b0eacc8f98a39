"""The alert rules and the queries of dashboards, as the tests look at them."""

import re
from pathlib import Path
from typing import Any

import yaml

from scripts.write_monitoring import DASHBOARDS
from tests.architecture.source import ROOT

FOLDER = ROOT / "deploy/prometheus"
RULES = FOLDER / "rules"
_METRIC = re.compile(r"\b(?:chatvault|django)_[a-z0-9_]+")
_COMPARED = re.compile(r"\s(?:==|!=|>=|<=|>|<)\s(?!bool)[^()\[\]{}]*$")


def rules() -> list[dict[str, Any]]:
    return [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard_queries() -> dict[str, str]:
    """Every query by where it is, with Grafana's variables filled in."""
    return {
        f"{dashboard.name}: {panel.title} [{at}]": (
            query.text.replace("$instance", ".*").replace("$__rate_interval", "30s")
        )
        for dashboard in DASHBOARDS
        for panel in dashboard.panels()
        for at, query in enumerate(panel.queries)
    }


def measured(expression: str) -> list[str]:
    """What an alert's expression looks at, without the bounds that are never passed when all is
    well: each part of `or`, `and` and `unless` less its last comparison."""
    flat = " ".join(expression.split())
    parts = re.split(r"\s(?:or|and|unless)\s", flat) if "vector" not in flat else [flat]
    return [_less_bounds(part.strip()) for part in parts]


def _less_bounds(part: str) -> str:
    while part.startswith("(") and part.count("(") > part.count(")"):
        part = part[1:]
    while part.endswith(")") and part.count(")") > part.count("("):
        part = part[:-1]
    while match := _COMPARED.search(part):
        part = part[: match.start()]
    if part.startswith("(") and part.endswith(")"):
        inner = part[1:-1]
        part = inner if "(" not in inner else part
        while match := _COMPARED.search(part):
            part = part[: match.start()]
    return part


def metrics_in(expression: str) -> set[str]:
    """Names of families, without what Prometheus adds for histograms."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in _METRIC.findall(expression)}


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
