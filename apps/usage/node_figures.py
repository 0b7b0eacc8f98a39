"""Figures of this node's journal folder and of its ingest, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from apps.usage.follow import IngestStatus, read_status
from apps.usage.limits_keeper import LimitsStatus, read_limits_status
from apps.usage.segments import bytes_in, list_segments
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, single

SILENT_S: Final = 30.0

SEGMENTS: Final = Family(
    "chatvault_journal_segments", "gauge", "Journal segments in this node's folder."
)
BYTES: Final = Family(
    "chatvault_journal_bytes", "gauge", "Size of the journal segments in this node's folder."
)
QUARANTINED: Final = Family(
    "chatvault_journal_quarantine_files", "gauge", "Damaged records that were put aside."
)
UNSHIPPED: Final = Family(
    "chatvault_journal_unshipped_bytes", "gauge", "Journal bytes that are not in the database yet."
)
HEARTBEAT: Final = Family(
    "chatvault_ingest_heartbeat_age_seconds", "gauge", "Time since ingest last told how it is."
)
LAG: Final = Family(
    "chatvault_ingest_lag_seconds",
    "gauge",
    "How late settled requests get into the database; grows while ingest does not get on.",
)
SHIPPED: Final = Family(
    "chatvault_ingest_requests_total", "counter", "Requests that ingest has put into the database."
)
FAILED: Final = Family(
    "chatvault_ingest_failed_batches_total", "counter", "Batches that the database refused."
)
FAILING: Final = Family(
    "chatvault_ingest_failing_tries",
    "gauge",
    "Times in a row that the database refused the current batch; 0 when all is well.",
)
KEEPER_WELL: Final = Family(
    "chatvault_limits_keeper_well",
    "gauge",
    "1 when the limits in Redis are current, as this node's keeper sees them.",
)
ENTRIES: Final = Family(
    "chatvault_limits_entries",
    "gauge",
    "Requests of all nodes that Redis holds money for: in flight, or not booked yet.",
)
CORRECTED: Final = Family(
    "chatvault_limits_corrected_total",
    "counter",
    "Sums in Redis that differed from the ledger and were corrected.",
)
TIDIED: Final = Family(
    "chatvault_limits_tidied_total",
    "counter",
    "Entries in Redis whose end it had not heard of and that were dropped.",
)
REBUILT: Final = Family(
    "chatvault_limits_rebuilt_total",
    "counter",
    "Times that this node built the limits in Redis anew from the ledger.",
)

FAMILIES: Final = (
    KEEPER_WELL, ENTRIES, CORRECTED, TIDIED, REBUILT,
    SEGMENTS, BYTES, QUARANTINED, UNSHIPPED, HEARTBEAT, LAG, SHIPPED, FAILED, FAILING,
)  # fmt: skip


def source(directory: Path) -> Callable[[], Figures]:
    """One look at the folder and one small file."""

    def read() -> Figures:
        yield SEGMENTS, single(len(list_segments(directory)))
        yield BYTES, single(bytes_in(directory))
        yield QUARANTINED, single(len(list((directory / "quarantine").glob("*.bad"))))
        status = read_status(directory)
        if status is not None:
            yield from _of_ingest(status)
        limits = read_limits_status(directory)
        if limits is not None:
            yield from _of_limits(limits)

    return read


def _of_ingest(status: IngestStatus) -> Figures:
    now_s = clock.wall_s()
    yield UNSHIPPED, single(status.unshipped_bytes)
    yield HEARTBEAT, single(max(now_s - status.at_s, 0.0))
    yield LAG, single(status.lag_s(now_s))
    yield SHIPPED, single(status.shipped_requests)
    yield FAILED, single(status.failed_batches)
    yield FAILING, single(status.failures)


def _of_limits(limits: LimitsStatus) -> Figures:
    is_silent = clock.wall_s() - limits.at_s > SILENT_S
    yield KEEPER_WELL, single(int(limits.is_well and not is_silent))
    yield ENTRIES, single(limits.entries)
    yield CORRECTED, single(limits.corrected)
    yield TIDIED, single(limits.tidied)
    yield REBUILT, single(limits.built)
