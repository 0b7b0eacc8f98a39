"""What django-prometheus counts, told as ours."""

from pathlib import Path

from prometheus_client import REGISTRY

from chatvault.lib.metrics import library
from chatvault.lib.metrics.reporter import Reporter
from tests.metrics.folk import kill, report, samples

NAME = "django_http_exceptions_total_by_type_total"


def test_every_family_is_told_although_it_has_nothing_yet() -> None:
    assert [family for family, _ in library.source()()] == list(library.FAMILIES)


def test_what_only_another_process_has_counted_is_told(tmp_path: Path) -> None:
    (family,) = [one for one in library.FAMILIES if one.name == NAME]
    pid = report(tmp_path, lambda: iter([(family, {("Boom",): (3,)})]))
    reporter = Reporter(tmp_path, "asked")
    reporter.add(library.source())
    reporter.start()
    assert samples(reporter.exposition())[f'{NAME}{{type="Boom"}}'] == 3
    kill(pid)
    reporter.stop()


def test_what_was_inherited_is_the_parents() -> None:
    from django_prometheus.db import execute_total

    execute_total.labels("told", "sqlite").inc(5)
    read = library.source()
    execute_total.labels("told", "sqlite").inc(2)
    execute_total.labels("new", "sqlite").inc(1)
    rows = {family.name: rows for family, rows in read()}["django_db_execute_total"]
    assert rows[("told", "sqlite")] == [2]
    assert rows[("new", "sqlite")] == (1,)


def test_histograms_are_told_by_bucket() -> None:
    from django_prometheus.db import query_duration_seconds

    query_duration_seconds.labels("told", "sqlite").observe(0.02)
    rows = {family.name: (family, rows) for family, rows in library.source()()}
    family, told = rows["django_db_query_duration_seconds"]
    assert len(told[("told", "sqlite")]) == family.width
    assert REGISTRY.get_sample_value(
        "django_db_query_duration_seconds_count", {"alias": "told", "vendor": "sqlite"}
    )
