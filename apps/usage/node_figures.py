"""Figures of this node's journal folder and of its ingest, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from apps.usage.follow import IngestStatus, read_status
from apps.usage.segments import bytes_in, list_segments
from chatvault.lib import clock
from chatvault.lib.metrics.families import Family, Figures, single

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

FAMILIES: Final = (
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

    return read


def _of_ingest(status: IngestStatus) -> Figures:
    now_s = clock.wall_s()
    yield UNSHIPPED, single(status.unshipped_bytes)
    yield HEARTBEAT, single(max(now_s - status.at_s, 0.0))
    yield LAG, single(status.lag_s(now_s))
    yield SHIPPED, single(status.shipped_requests)
    yield FAILED, single(status.failed_batches)
    yield FAILING, single(status.failures)
