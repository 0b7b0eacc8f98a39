"""Follows the journals of this machine and moves their records to the database, exactly once.

Records are read at least once; rows are unique; and everything else – ledger, rollups, budget
sums, the cursor – follows in the same transaction from the rows really inserted. After any
error of the database all that is in memory is dropped and read again from files and cursors.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Final

from apps.billing import shared_limits
from apps.usage import error_review, recovery, shipped
from apps.usage.batch import Batch, Committed, Progressed, commit
from apps.usage.models import JournalCursor, OpenIntent
from apps.usage.names import Names
from apps.usage.open_requests import Closed, OpenRequests
from apps.usage.reader import Damage, SegmentReader
from apps.usage.records import Settle, Tally, encode_frame
from apps.usage.segments import (
    SUFFIX,
    UNNAMED,
    bytes_in,
    has_writer,
    journal_id,
    list_segments,
    owner_of,
    stored_owner,
)
from chatvault.lib import clock, failpoints

log = logging.getLogger(__name__)

BATCH_RECORDS: Final = 2000  # a thousand requests, mostly
BATCH_S: Final = 0.2
_KEEP_CURSORS: Final = timedelta(days=7)


class Ingester:
    """The state of one run. Make a new one after an exception from `step`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._journal_id = journal_id(directory)
        self._names = Names()
        self._open = OpenRequests()
        self._readers: dict[Path, SegmentReader] = {}
        self._bad: dict[Path, int] = defaultdict(int)
        self._shipped_offset: dict[Path, int] = {}
        self.shipped = 0  # requests, since this object was made
        self.delay_s = 0.0  # of the last step: how old the oldest settlement was when booked

    def load(self) -> None:
        """Learn what is in the database and what was read before. Raises django.db.Error."""
        paths = list_segments(self._directory)
        cursors = {
            cursor.segment: cursor
            for cursor in JournalCursor.objects.filter(segment__in=[path.name for path in paths])
        }
        prefix = stored_owner(self._journal_id, "")
        for stored in OpenIntent.objects.filter(owner__startswith=prefix):
            self._open.restore(stored.owner.removeprefix(prefix), bytes(stored.record))
        for path in paths:
            cursor = cursors.get(path.name)
            if cursor is not None and cursor.is_finished:
                shipped.part_with(path)
            elif cursor is not None:
                self._bad[path] = cursor.bad_records
                self._reread(path, cursor.offset)
        old = clock.now() - _KEEP_CURSORS
        JournalCursor.objects.filter(
            is_finished=True, bad_records=0, torn_bytes=0, updated_at__lt=old
        ).delete()

    def step(self) -> int:
        """Ship one batch; returns how many records were read, -1: there was nothing to do.

        Raises django.db.Error: the object is of no use then.
        """
        batch = Batch()
        owners: dict[str, list[Path]] = defaultdict(list)
        for path in list_segments(self._directory):
            owners[owner_of(path.name)].append(path)
        limit = max(BATCH_RECORDS // max(len(owners), 1), 100)
        deadline = clock.monotonic() + BATCH_S
        for owner, paths in owners.items():
            self._read_owner(owner, paths, batch, limit, deadline)
        for owner in self._open.owners() - owners.keys():
            self._settle_dead(owner, batch)  # its files are gone: nobody else will
        if not batch:
            self.delay_s = 0.0
            return -1
        committed = commit(batch, journal_id=self._journal_id, names=self._names)
        self._after_commit(batch, committed.orphans)
        self._tell_limits(batch, committed)
        if committed.errors is not None:
            error_review.asker.ask(*committed.errors)
        return batch.records

    def unshipped_bytes(self) -> int:
        """What is written and not in the database yet."""
        return max(bytes_in(self._directory) - sum(self._shipped_offset.values()), 0)

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _reread(self, path: Path, offset: int) -> None:
        reader = self._readers[path] = SegmentReader(path)
        self._shipped_offset[path] = offset
        for record in reader.records(is_final=True, until=offset):
            if not isinstance(record, Tally):
                self._open.apply(record, owner_of(path.name))
        reader.damages.clear()
        reader.torn_bytes = 0

    def _read_owner(
        self, owner: str, paths: list[Path], batch: Batch, limit: int, deadline: float
    ) -> None:
        is_dead = not has_writer(self._directory, paths[-1])
        for path in paths:
            is_final = is_dead or path != paths[-1]
            limit, is_finished = self._read_segment(
                path, owner, batch, is_final=is_final, limit=limit, deadline=deadline
            )
            if not is_finished:
                return
            if path != paths[-1]:
                batch.to_store.extend(self._open.of_owner(owner))
                return  # a segment's end is a batch's end for its owner
        self._settle_dead(owner, batch)

    def _read_segment(
        self, path: Path, owner: str, batch: Batch, *, is_final: bool, limit: int, deadline: float
    ) -> tuple[int, bool]:
        """Read on in one file. Returns what is left of the limit, and whether it is done."""
        reader = self._readers.get(path)
        if reader is None:
            reader = self._readers[path] = SegmentReader(path)
        is_finished = is_final
        for record in reader.records(is_final=is_final):
            if isinstance(record, Tally):
                batch.tallies.append(record)
                known = None
            else:
                known = self._open.apply(record, owner)
            if type(known) is Closed:
                batch.closed.append(known)
            elif type(known) is Settle:
                batch.unmatched.append(known)
            limit -= 1
            batch.records += 1
            if limit <= 0 or (limit % 64 == 0 and clock.monotonic() > deadline):
                is_finished = False
                break
        self._put_aside(path, reader.damages)
        if reader.offset != self._shipped_offset.get(path, 0) or is_finished:
            batch.segments.append(
                Progressed(path, reader.offset, is_finished, reader.torn_bytes, self._bad[path])
            )
        return limit, is_finished

    def _settle_dead(self, owner: str, batch: Batch) -> None:
        batch.closed.extend(recovery.interrupted(self._open.of_owner(owner)))
        batch.dead_owners.append(owner)

    def _after_commit(self, batch: Batch, orphans: list[Settle]) -> None:
        self.shipped += len(batch.closed)
        if batch.closed:
            oldest_ms = min(one.settle.at_ms for one in batch.closed)
            self.delay_s = max(clock.wall_s() - oldest_ms / 1000, 0.0)
        self._open.forget(one.request for one in batch.closed)
        for request in batch.to_store:
            request.is_stored = True
        for segment in batch.segments:
            self._shipped_offset[segment.path] = segment.offset
            if segment.torn_bytes and segment.is_finished:
                log.warning("%s ended in %d torn bytes.", segment.path.name, segment.torn_bytes)
            if segment.is_finished:
                self._drop(segment.path)
        for settle in orphans:
            self._keep_orphan(settle)
        for owner in batch.dead_owners:
            for rest in self._directory.glob(f"{owner}-*{UNNAMED}"):
                rest.unlink(missing_ok=True)

    def _tell_limits(self, batch: Batch, committed: Committed) -> None:
        """What the ledger has now, and the requests that need no entry of their own any more."""
        entries = [
            (stored_owner(self._journal_id, one.request.owner), one.request.intent.request_id)
            for one in batch.closed
            if one.request.intent.budgets
        ]
        shared_limits.post(committed.windows, entries)

    def _drop(self, path: Path) -> None:
        self._readers.pop(path).close()
        self._shipped_offset.pop(path, None)
        self._bad.pop(path, None)
        if failpoints.ARMED:
            failpoints.reach("segment-finished")
        shipped.part_with(path)

    def _put_aside(self, path: Path, damages: list[Damage]) -> None:
        """Keep damaged bytes in the quarantine folder and say so; once for each."""
        for damage in damages:
            self._bad[path] += 1
            name = f"{path.name.removesuffix(SUFFIX)}-{damage.offset}.bad"
            self._quarantine(name, damage.data)
            log.error(
                "%s is damaged at byte %d: %d bytes are kept in quarantine/%s.",
                path.name,
                damage.offset,
                len(damage.data),
                name,
            )
        damages.clear()

    def _keep_orphan(self, settle: Settle) -> None:
        name = f"orphan-{settle.request_id.hex()}.bad"
        self._quarantine(name, encode_frame(settle))
        log.error("A settlement without its request is kept in quarantine/%s.", name)

    def _quarantine(self, name: str, data: bytes) -> None:
        folder = self._directory / "quarantine"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)


def take_lock(directory: Path) -> int | None:
    """The right to ingest from this folder, as a file descriptor; None: another has it."""
    fd = os.open(directory / "ingest.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
