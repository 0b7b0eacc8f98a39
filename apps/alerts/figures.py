"""Whether alerts arrive, for Prometheus: who waits for an alert does not notice that none comes."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Count, Min, Q

from apps.alerts import topics
from apps.alerts.models import Delivery
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, Row, Values, single

GIVEN_UP_SINCE: Final = timedelta(days=1)
State = Delivery.State

DELIVERIES: Final = Family(
    "chatvault_alert_deliveries",
    "gauge",
    "Deliveries of alerts that wait, failed and are tried again, or were given up in the last day. "
    "Tests of channels do not count.",
    ("state",),
)
OLDEST: Final = Family(
    "chatvault_alert_oldest_waiting_age_seconds",
    "gauge",
    "How long ago the oldest alert was told that has not arrived and is not given up; 0 without.",
)

FAMILIES: Final = (DELIVERIES, OLDEST)


def read() -> Figures:
    """In one query."""
    is_open = Q(state__in=Delivery.OPEN)
    given_up = Q(state=State.GIVEN_UP, created_at__gte=clock.now() - GIVEN_UP_SINCE)
    rows = Delivery.objects.filter(is_open | given_up).exclude(alert__topic=topics.TEST)
    told = rows.aggregate(
        waiting=Count("pk", filter=Q(state__in=(State.WAITING, State.SENDING))),
        failed=Count("pk", filter=Q(state=State.FAILED)),
        given_up=Count("pk", filter=Q(state=State.GIVEN_UP)),
        oldest=Min("created_at", filter=is_open),
    )
    states: dict[Values, Row] = {
        (name,): (told[name],) for name in ("waiting", "failed", "given_up")
    }
    yield DELIVERIES, states
    age_s = (clock.now() - told["oldest"]).total_seconds() if told["oldest"] else 0.0
    yield OLDEST, single(max(age_s, 0.0))
