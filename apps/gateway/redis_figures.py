"""What the limits' back end tells of Redis, for Prometheus. The local one tells nothing."""

from __future__ import annotations

from typing import Final

from chatvault.lib.metrics.families import NANO, Family, Figures, Number, single

UP: Final = Family(
    "chatvault_redis_up", "gauge", "1 while every process of the node reaches Redis.", joined="min"
)
ROUND_TRIP: Final = Family(
    "chatvault_redis_round_trip_seconds",
    "gauge",
    "The latest round trip to Redis; the slowest process.",
    joined="max",
)
EPOCH: Final = Family(
    "chatvault_redis_epoch",
    "gauge",
    "The epoch of the limits in Redis; a new one begins when they were lost and rebuilt.",
    joined="max",
)
LOSSES: Final = Family(
    "chatvault_redis_losses_total", "counter", "Times that a process lost Redis."
)
BATCHES: Final = Family("chatvault_redis_round_trips_total", "counter", "Round trips to Redis.")
OPERATIONS: Final = Family(
    "chatvault_redis_operations_total",
    "counter",
    "Operations on limits; those of one turn of the event loop share a round trip.",
)
STANDBY: Final = Family(
    "chatvault_redis_standby_requests_total",
    "counter",
    "Requests that were admitted while Redis was away.",
)
OFFSET: Final = Family(
    "chatvault_redis_clock_offset_seconds",
    "gauge",
    "Redis's wall clock less that of this machine.",
    joined="max",
)

FAMILIES: Final = (UP, ROUND_TRIP, EPOCH, LOSSES, BATCHES, OPERATIONS, STANDBY, OFFSET)

_OF_STATS: Final = (
    (UP, "is_up"),
    (ROUND_TRIP, "round_trip_s"),
    (EPOCH, "epoch"),
    (LOSSES, "losses"),
    (BATCHES, "batches"),
    (OPERATIONS, "operations"),
)


def redis_figures(limits: object) -> Figures:
    stats = getattr(limits, "stats", None)
    if stats is None:
        return
    for family, name in _OF_STATS:
        value: Number = getattr(stats, name)
        yield family, single(value if family is ROUND_TRIP else int(value))
    yield STANDBY, single(int(getattr(limits, "admitted_alone", 0)))
    yield OFFSET, single(getattr(limits, "clock_offset_ns", 0) / NANO)
