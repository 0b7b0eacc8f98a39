"""A real Prometheus reads a real ChatVault with two gateway processes and Redis: every query of
every dashboard and everything that a rule looks at has data."""

import os
import re
import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.metrics.folk import samples
from tests.metrics.rules import alerts, dashboard_queries, measured, metrics_in, rules
from tests.metrics.scraped import TOKEN, Prometheus, set_up, settings, traffic
from tests.run.tree import Tree, with_tables

pytestmark = [pytest.mark.run, pytest.mark.long, pytest.mark.xdist_group("run")]

SEEN = (  # enough for a rate, of what comes last
    'sum(count_over_time(chatvault_requests_total{alias="saved",result="ok"}[1m])) >= 4',
    'sum(count_over_time(django_http_responses_total_by_status_total{status="200"}[1m])) >= 3',
    "chatvault_ledger_check_failed == 0",
    "chatvault_probe_success == 1",
)

# Nothing to show when all is well, or on SQLite. That their figures exist is held by test_rules.py.
SILENT = {
    "chatvault_shed_total",  # nothing is turned away
    "chatvault_queue_wait_seconds",  # nothing has waited
    "chatvault_partition_days_ahead",  # PostgreSQL
    "chatvault_quota_refusals_total",  # no limit is reached
    "chatvault_quota_would_refuse_total",
    "chatvault_csp_violations_total",  # pages keep to their policy
    "django_db_errors_total",  # no statement was refused
    "django_db_new_connection_errors_total",
    "django_http_exceptions_total_by_type_total",  # no page failed
}
SILENT_ALERTS = {
    "ChatVaultScrapeMissing",  # asks what is absent
    "ChatVaultAdminFailing",  # divides answers that nobody got
}


@pytest.fixture(scope="module")
def more(valkey_server) -> dict[str, str]:
    return settings(valkey_server.url)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, more: dict[str, str]) -> Iterator[Tree]:
    with Tree(with_tables(tmp_path_factory.mktemp("scraped") / "home"), **more) as started:
        yield started.ready()


@pytest.fixture(scope="module")
def prometheus(tree: Tree, more: dict[str, str]) -> Iterator[Prometheus]:
    set_up(tree.home, more)  # before the first scrape: what the database says is kept for 15 s
    with traffic(tree.state()["url"]), Prometheus(tree.home.parent, tree) as started:
        for expression in SEEN:
            started.wait_for(expression, timeout_s=25)
        yield started


def test_every_query_of_every_dashboard_has_data(prometheus: Prometheus) -> None:
    empty = {
        where: query
        for where, query in dashboard_queries().items()
        if not any(sample["value"][1] != "NaN" for sample in prometheus.query(query))
    }
    assert {where: q for where, q in empty.items() if not metrics_in(q) <= SILENT} == {}


def test_every_rule_is_healthy_and_sees_data(prometheus: Prometheus) -> None:
    assert [rule["name"] for rule in prometheus.rules() if rule["health"] == "err"] == []
    records = [rule["record"] for rule in rules() if "record" in rule]
    assert [name for name in records if not prometheus.query(name)] == []
    empty = {
        name: part
        for name, rule in alerts().items()
        for part in measured(rule["expr"])
        if name not in SILENT_ALERTS and not prometheus.query(re.sub(r":1m\]", ":1s]", part))
    }
    assert {name: part for name, part in empty.items() if not metrics_in(part) <= SILENT} == {}


def test_a_scrape_without_the_token_is_refused(prometheus: Prometheus) -> None:
    for headers in ({}, {"authorization": "Bearer wrong-0123456789"}):
        assert httpx.get(prometheus.target, headers=headers).status_code == 401
    good = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.get(prometheus.target, headers=good).status_code == 200
    relayed = good | {"x-forwarded-for": "127.0.0.1"}
    assert httpx.get(prometheus.target, headers=relayed).status_code == 404


def test_both_processes_are_told_whichever_is_asked(prometheus: Prometheus) -> None:
    good = {"authorization": f"Bearer {TOKEN}", "connection": "close"}
    for _ in range(6):
        told = samples(httpx.get(prometheus.target, headers=good).content)
        names = [name for name in told if name.startswith("chatvault_event_loop_lag_seconds")]
        assert len(names) == 2


def test_a_killed_gateway_takes_no_figures_along(tree: Tree, prometheus: Prometheus) -> None:
    """Counters of all processes together never go back, whichever is asked before and after."""
    before = tree.child("gateway1")
    os.kill(before, signal.SIGKILL)
    tree.wait_for(lambda: tree.child("gateway1") not in (0, before))
    prometheus.wait_for('chatvault_process_starts_total{process="gateway1"} == 2', timeout_s=10)
    for name in ("chatvault_requests_total", "chatvault_process_starts_total"):
        found = prometheus.query(f"resets({name}[2m])")
        assert {sample["value"][1] for sample in found} == {"0"}
