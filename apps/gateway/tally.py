"""What was refused and what went wrong inside goes to the journal, so that the admin of any
process on any machine sees all of it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from apps.gateway.plane import DataPlane
from apps.usage.journal import Tally
from apps.usage.records import FaultRow
from chatvault.lib import clock
from chatvault.lib.errors import JournalUnavailable
from chatvault.lib.faults import faults

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
EVERY_S: Final = 10.0  # at most one record in this time, however much is refused


async def keep_tally(plane: DataPlane) -> None:
    """Until it is cancelled, and then once more."""
    next_at = 0.0
    try:
        while True:
            await asyncio.sleep(LOOK_S)
            if clock.monotonic() >= next_at and write_tally(plane):
                next_at = clock.monotonic() + EVERY_S
    finally:
        write_tally(plane)


def write_tally(plane: DataPlane) -> bool:
    """One record of all since the last; False when there was nothing, or no room for it."""
    refused = plane.refusals.pending()
    found = faults.take()
    quotas = plane.quota_counts.pending()
    if not refused and not found and not quotas:
        return False
    rows = tuple(
        FaultRow(one.name, one.place, one.count, one.last_ms, one.detail, one.request_id)
        for one in found
    )
    try:
        if not plane.journal.is_writable():
            raise JournalUnavailable
        plane.journal.append(Tally(clock.wall_ns() // 1_000_000, refused, rows, quotas))
    except (JournalUnavailable, ValueError):
        for one in found:
            faults.add(one)
        return False
    plane.refusals.written()
    plane.quota_counts.written(quotas)
    return True
