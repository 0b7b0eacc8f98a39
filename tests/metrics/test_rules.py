"""promtool passes all; every alert is tested, explained and has a runbook."""

import re
import subprocess

import pytest
import yaml

from scripts.write_monitoring import DASHBOARDS, PAGE, dashboard_files, families, page
from tests.architecture.source import ROOT
from tests.metrics.rules import (
    FOLDER,
    RULES,
    alerts,
    anchors,
    dashboard_queries,
    measured,
    metrics_in,
    rules,
)

TESTS = FOLDER / "tests/alerts.yml"


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_passes_configuration_and_rules() -> None:
    promtool("check", "config", str(FOLDER / "prometheus.yml"))
    for path in RULES.glob("*.yml"):
        promtool("check", "rules", "--lint=all", "--lint-fatal", str(path))


def test_every_alert_fires_for_what_it_is_about_and_for_nothing_else() -> None:
    promtool("test", "rules", str(TESTS))
    tests = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    fired = {
        re.findall(r'alertname="(\w+)"', sample["labels"])[0]
        for test in tests
        for sample in test["promql_expr_test"][0]["exp_samples"]
    }
    assert fired == alerts().keys()


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_is_explained(name: str) -> None:
    rule = alerts()[name]
    notes = rule["annotations"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert notes["summary"] and notes["description"]
    path, _, anchor = notes["runbook_url"].partition("#")
    assert anchor == name.lower()
    assert anchor in anchors(ROOT / path)


def test_the_runbooks_know_no_other_alert() -> None:
    known = {anchor for anchor in anchors(ROOT / "docs/runbooks.md") if "chatvault" in anchor}
    assert known == {name.lower() for name in alerts()}


def test_rules_and_dashboards_ask_only_for_what_is_told() -> None:
    told = {family.name for family in families()}
    wanted = set()
    for query in (*dashboard_queries().values(), *(rule["expr"] for rule in rules())):
        wanted |= metrics_in(query)
    assert wanted - told == set()


def test_every_figure_of_ours_is_on_a_dashboard_or_in_an_alert() -> None:
    told = {family.name for family in families()}
    queries = (*dashboard_queries().values(), *(rule["expr"] for rule in rules()))
    shown = set().union(*(metrics_in(query) for query in queries))
    assert told - shown == NOT_SHOWN


NOT_SHOWN = {
    "chatvault_configuration_revision_timestamp_seconds",  # of the revision that is shown
    "chatvault_control_plane_age_seconds",  # for looking into a slow database
    "chatvault_control_plane_read_seconds",
    "chatvault_partition_default_rows",
    "chatvault_partitions",
    "chatvault_probe_timestamp_seconds",
    "chatvault_redis_clock_offset_seconds",
    "chatvault_telemetry_spans_total",  # only where traces are on
    "django_db_new_connections_total",
    "django_http_requests_total_by_method_total",
}


def test_names_follow_the_conventions() -> None:
    """prometheus.io/docs/practices/naming: counters end in _total, times in seconds."""
    ours = [family for family in families() if family.name.startswith("chatvault_")]
    for family in ours:
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
        assert not re.search(r"_(ms|millis|minutes|hours|kib|mib|nano|percent)\b", family.name)
        assert family.text.endswith("."), family.name
        assert not {"key", "client", "user", "team", "job", "instance"} & set(family.labels)
    assert len({family.name for family in families()}) == len(families())


def test_bounds_are_taken_off_what_an_alert_measures() -> None:
    assert measured("(a > 2 * 0.5 and b > 1) or (c > 6 and d > 6)") == ["a", "b", "c", "d"]
    assert measured("max by (x) (y) >= 0.9 < 1") == ["max by (x) (y)"]
    assert measured('sum(f{a!="ok"}) > 0 unless sum(f) > 0') == ['sum(f{a!="ok"})', "sum(f)"]
    assert measured("absent(up)") == ["absent(up)"]


def test_dashboards_are_what_the_code_says() -> None:
    files = dashboard_files()
    assert {path: path.read_text(encoding="utf-8") for path in files} == files
    assert set((ROOT / "deploy/grafana/dashboards").iterdir()) == files.keys()


def test_the_page_of_metrics_is_what_the_code_says() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_every_panel_has_unit_description_and_query(dashboard) -> None:
    titles = [panel.title for panel in dashboard.panels()]
    assert len(titles) == len(set(titles))
    for panel in dashboard.panels():
        assert panel.unit and panel.description.endswith(".") and panel.queries, panel.title


def test_grafana_finds_source_and_dashboards() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    source = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["type"] == "prometheus"
    provider = yaml.safe_load((folder / "dashboards/chatvault.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


def test_the_chart_takes_rules_and_dashboards_from_here() -> None:
    files = ROOT / "deploy/helm/chatvault/files"
    assert (files / "rules").resolve() == RULES
    assert (files / "dashboards").resolve() == ROOT / "deploy/grafana/dashboards"
