"""Figures of one process's data plane that are looked up, not counted, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from apps.gateway.metrics import FAMILIES as COUNTED
from apps.gateway.metrics import LOOP_LAG, MAX_SERVED
from apps.gateway.quota_counts import OBSERVED, REFUSED
from apps.gateway.redis_figures import FAMILIES as REDIS
from apps.gateway.redis_figures import redis_figures
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, single

if TYPE_CHECKING:
    from apps.gateway.plane import DataPlane

LOOK_S: Final = 0.25

DEPLOYMENT: Final = Family(
    "chatvault_deployment_info",
    "gauge",
    "1 for each deployment that can be called.",
    ("deployment", "provider", "family", "model"),
    joined="max",
)
BREAKER: Final = Family(
    "chatvault_breaker_open",
    "gauge",
    "1 while a process leaves the deployment alone because it fails.",
    ("deployment", "provider"),
    joined="max",
)
CONNECTIONS: Final = Family(
    "chatvault_upstream_connections", "gauge", "Connections to providers.", ("state",)
)
REVISION: Final = Family(
    "chatvault_snapshot_revision",
    "gauge",
    "The configuration's revision that is served; the oldest of the node's processes.",
    joined="min",
)
FOLLOWED: Final = Family(
    "chatvault_snapshot_age_seconds",
    "gauge",
    "Time since a process last made sure that it serves the newest revision.",
    joined="max",
)
WRITABLE: Final = Family(
    "chatvault_journal_writable",
    "gauge",
    "1 when every process of the node could record a new request.",
    joined="min",
)
HEADROOM: Final = Family(
    "chatvault_journal_headroom_bytes",
    "gauge",
    "What new requests may still write before they are refused.",
    joined="min",
)
SYNC_FAILURES: Final = Family(
    "chatvault_journal_sync_failures_total",
    "counter",
    "Times that the journal could not be forced to disk.",
)

FAMILIES: Final = (
    *COUNTED, DEPLOYMENT, BREAKER, CONNECTIONS, REVISION, FOLLOWED, WRITABLE, HEADROOM,
    SYNC_FAILURES, REFUSED, OBSERVED, *REDIS,
)  # fmt: skip


class PlaneFigures:
    """A source for the reporter; called from its thread."""

    def __init__(self, plane: DataPlane, process: str) -> None:
        self._plane = plane
        self._process = process

    def __call__(self) -> Figures:
        plane = self._plane
        running = list(plane.live.values())
        plane.metrics.gauges.update(
            chatvault_requests_running=len(running),
            chatvault_streams_running=sum(meter.request.stream for meter in running),
            chatvault_draining=int(plane.is_draining),
        )
        yield from plane.metrics.figures()
        yield LOOP_LAG, {(self._process,): (plane.metrics.loop_lag.read(),)}
        yield from self._deployments()
        stats = plane.pool.stats()
        states = {"busy": max(stats.open - stats.idle, 0), "idle": stats.idle}
        yield CONNECTIONS, {(state,): (count,) for state, count in states.items()}
        yield REVISION, single(plane.view.snapshot.version)
        yield FOLLOWED, single(max(clock.monotonic() - plane.followed_at, 0.0))
        yield WRITABLE, single(int(plane.journal.is_writable()))
        yield HEADROOM, single(plane.journal.headroom_bytes)
        yield SYNC_FAILURES, single(plane.journal.sync_failures)
        yield from plane.quota_counts.figures()
        yield from redis_figures(plane.limits)

    def _deployments(self) -> Figures:
        plane = self._plane
        deployments = list(plane.view.snapshot.deployments.values())[:MAX_SERVED]
        yield (
            DEPLOYMENT,
            {(one.name, one.provider, one.family, one.model): (1,) for one in deployments},
        )
        yield (
            BREAKER,
            {
                (one.name, one.provider): (int(plane.breaker.is_open(one.id)),)
                for one in deployments
            },
        )
