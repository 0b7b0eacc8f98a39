"""The figures that django-prometheus counts, as ours: an allow-list, because some of its labels
are open-ended or say what others say already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import INF

from chatvault.lib.metrics.families import Family, Figures, Number, Row, Rows, Values

_LATENCY_S: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 25.0, 50.0, 75.0,
)  # fmt: skip

FAMILIES: Final = (
    Family(
        "django_http_requests_total_by_method_total",
        "counter",
        "Requests to the admin and the API, by method.",
        ("method",),
    ),
    Family(
        "django_http_responses_total_by_status_total",
        "counter",
        "Answers of the admin and the API, by status.",
        ("status",),
    ),
    Family(
        "django_http_requests_latency_including_middlewares_seconds",
        "histogram",
        "Time that the admin and the API took to answer, middleware included.",
        (),
        _LATENCY_S,
    ),
    Family(
        "django_http_exceptions_total_by_type_total",
        "counter",
        "Exceptions that views of the admin and the API raised, by class.",
        ("type",),
    ),
    Family(
        "django_db_execute_total",
        "counter",
        "Statements sent to the database by Django, bulk statements included.",
        ("alias", "vendor"),
    ),
    Family(
        "django_db_errors_total",
        "counter",
        "Statements that the database refused, by class of the exception.",
        ("alias", "vendor", "type"),
    ),
    Family(
        "django_db_query_duration_seconds",
        "histogram",
        "Time that statements took in the database.",
        ("alias", "vendor"),
        _LATENCY_S,
    ),
    Family(
        "django_db_new_connections_total",
        "counter",
        "Connections that were made to the database.",
        ("alias", "vendor"),
    ),
    Family(
        "django_db_new_connection_errors_total",
        "counter",
        "Connections to the database that could not be made.",
        ("alias", "vendor"),
    ),
)

_BY_NAME: Final = {family.name.removesuffix("_total"): family for family in FAMILIES}


def source() -> Callable[[], Figures]:
    """What is counted in this process from now on: what it inherited when it was forked is its
    parent's."""
    inherited = {family.name: dict(rows) for family, rows in _counted()}

    def read() -> Figures:
        for family, rows in _counted():
            before = inherited.get(family.name, {})
            yield family, {values: _less(row, before.get(values)) for values, row in rows.items()}

    return read


def _counted() -> Figures:
    """Every family, also one that has nothing yet: another process may have something to add."""
    counted: dict[str, Rows] = {}
    for metric in REGISTRY.collect():
        family = _BY_NAME.get(metric.name)
        if family is not None:
            read = _histogram if family.bounds else _counter
            counted[family.name] = read(family, metric)
    for family in FAMILIES:
        yield family, counted.get(family.name, {})


def _less(row: Row, before: Row | None) -> Row:
    if before is None:
        return row
    return [now - then for now, then in zip(row, before, strict=True)]


def _counter(family: Family, metric: Metric) -> dict[Values, Row]:
    return {
        tuple(sample.labels[name] for name in family.labels): (sample.value,)
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def _histogram(family: Family, metric: Metric) -> dict[Values, Row]:
    cumulated: dict[Values, dict[float, float]] = {}
    sums: dict[Values, float] = {}
    for sample in metric.samples:
        values = tuple(sample.labels[name] for name in family.labels)
        if sample.name.endswith("_bucket"):
            cumulated.setdefault(values, {})[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[values] = sample.value
    return {
        values: (*_counts(family, buckets), sums[values]) for values, buckets in cumulated.items()
    }


def _counts(family: Family, buckets: dict[float, float]) -> list[Number]:
    before = 0.0
    counts: list[Number] = []
    for bound in (*family.bounds, INF):
        counts.append(buckets[bound] - before)
        before = buckets[bound]
    return counts
