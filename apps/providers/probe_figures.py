"""What the last look at each deployment found, for Prometheus."""

from __future__ import annotations

from typing import Final

from apps.providers.models import Deployment
from apps.providers.models.probe import newest
from chatvault.lib.metrics.families import Family, Figures, Row, Values

MOST: Final = 256
_LABELS: Final = ("deployment", "provider")

ANSWERED: Final = Family(
    "chatvault_probe_success",
    "gauge",
    "1 when the deployment answered the last probe, 0 when it did not.",
    _LABELS,
)
LATENCY: Final = Family(
    "chatvault_probe_duration_seconds", "gauge", "How long that probe took.", _LABELS
)
PROBED_AT: Final = Family(
    "chatvault_probe_timestamp_seconds",
    "gauge",
    "When the deployment was probed last, in seconds since 1970.",
    _LABELS,
)

FAMILIES: Final = (ANSWERED, LATENCY, PROBED_AT)


def read_probes() -> Figures:
    """In one query, of the first deployments by name."""
    rows = (
        Deployment.objects.filter(is_active=True, provider__is_active=True)
        .annotate(probed_at=newest("at"), was_ok=newest("is_ok"), took_ms=newest("latency_ms"))
        .exclude(probed_at=None)
        .order_by("name")
        .values_list("name", "provider__name", "probed_at", "was_ok", "took_ms")[:MOST]
    )
    answered: dict[Values, Row] = {}
    took: dict[Values, Row] = {}
    at: dict[Values, Row] = {}
    for name, provider, probed_at, was_ok, took_ms in rows:
        answered[(name, provider)] = (int(was_ok),)
        at[(name, provider)] = (probed_at.timestamp(),)
        if took_ms is not None:
            took[(name, provider)] = (took_ms / 1000,)
    yield ANSWERED, answered
    yield LATENCY, took
    yield PROBED_AT, at
