"""The journal's writer: one append-only file per process between the gateway and the database.

Every append is one write(2), so a killed process loses nothing that `append` returned for. A
thread forces the bytes to disk every `sync_interval_s`, prepares the next segment and watches
the space. New requests are refused before the space runs out; what is in flight then still
settles into blocks that were reserved beforehand. The other side is `manage.py ingest`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import Final, Literal

from apps.usage.records import (
    AttemptEnd,
    AttemptStart,
    Intent,
    Progress,
    Record,
    Settle,
    Tally,
    encode_frame,
)
from apps.usage.segments import Segment, bytes_in, new_owner, prepare, sync_directory
from chatvault.lib import clock, failpoints
from chatvault.lib.errors import JournalUnavailable

__all__ = ["AttemptEnd", "AttemptStart", "Intent", "Journal", "Progress", "Settle", "Tally"]

log = logging.getLogger(__name__)

MIB: Final = 2**20
_HOUSE_S: Final = 0.5
Ack = Literal["process", "disk"]


class Journal:
    """Records of this process. `open` it after the last fork; threads may share it."""

    def __init__(
        self,
        directory: Path,
        *,
        ack: Ack = "process",
        segment_bytes: int = 16 * MIB,
        cap_bytes: int = 1024 * MIB,
        sync_interval_s: float = 0.05,
    ) -> None:
        self._directory = directory
        self._ack = ack
        self._segment_bytes = segment_bytes
        self._cap_bytes = cap_bytes
        self._sync_interval_s = sync_interval_s
        self.sync_failures = 0
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._owner = ""
        self._seq = 0
        self._segment: Segment | None = None
        self._spare: Segment | None = None
        self._retired: list[Segment] = []
        self._owed: list[bytes] = []  # settlements that could not be written yet
        self._waiters: list[asyncio.Future[None]] = []
        self._headroom = 0  # bytes that new requests may still take
        self._is_full = False
        self._is_closing = False
        self._has_new_name = False

    @property
    def owner(self) -> str:
        """This process's part of its segments' names; empty before `open`."""
        return self._owner

    def open(self) -> None:
        """Begin the first segment. Raises JournalUnavailable when the folder does not serve."""
        prepare(self._directory)
        with self._lock:
            if self._segment is not None:
                return
            self._owner = new_owner()
            self._headroom = self._cap_bytes - bytes_in(self._directory)
            self._segment = self._take_next()
            if self._segment is None:
                raise JournalUnavailable("The journal folder cannot be written.")
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()
        _open_journals.add(self)

    def close(self) -> None:
        """Force everything to disk and seal the segment. Closing twice is harmless."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._is_closing = True
        self._wake.set()
        thread.join()
        with self._lock:
            segment, spare = self._segment, self._spare
            self._segment = self._spare = None
        if segment is not None:
            segment.seal()
        if spare is not None:
            spare.discard()
        _open_journals.discard(self)
        self._reset()

    def append(self, *records: Record) -> None:
        """Hand the records to the kernel, all in one write.

        Raises JournalUnavailable, having written none of them: when an Intent is among them
        and the cap is reached or the disk is filling up, or when the write fails. A Settle is then
        written as soon as that can be done: the provider has been called.
        """
        if len(records) == 1:
            data = encode_frame(records[0])
        else:
            data = b"".join([encode_frame(record) for record in records])
        with self._lock:
            if self._is_full or self._headroom <= 0:
                self._refuse_new(records)
            try:
                self._write(data)
            except JournalUnavailable:
                if type(records[-1]) is Settle:
                    self._owed.append(data)
                raise

    async def durable(self) -> None:
        """With `disk`: returns when all that was appended before is forced to disk.

        Raises JournalUnavailable when it could not be. With `process`: returns at once.
        """
        if self._ack == "process":
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._thread is None:
                raise JournalUnavailable
            self._waiters.append(waiter)
        self._wake.set()
        await waiter

    def is_writable(self) -> bool:
        """Whether a new request would be recorded now."""
        return self._segment is not None and not self._is_full and self._headroom > 0

    @property
    def headroom_bytes(self) -> int:
        """What new requests may still take, before they are refused."""
        return max(self._headroom, 0)

    def _write(self, data: bytes) -> None:
        """All or nothing, under the lock. Raises JournalUnavailable."""
        segment = self._segment
        if segment is None:
            raise JournalUnavailable
        if segment.size + len(data) > self._segment_bytes or segment.is_broken:
            segment = self._rotate(segment)
        if not _written(segment, data):
            segment = self._rotate(segment)
            if not _written(segment, data):
                self._is_full = True
                raise JournalUnavailable
        self._headroom -= len(data)

    def _refuse_new(self, records: tuple[Record, ...]) -> None:
        if any(type(record) is Intent for record in records):
            raise JournalUnavailable

    def _take_next(self) -> Segment | None:
        """The prepared segment, or a new one, under its name; None: the disk says no."""
        segment, self._spare = self._spare, None
        try:
            segment = segment or self._make_segment()
            segment.publish(self._owner, self._seq + 1)
        except OSError as error:
            self._told_full(error)
            return None
        self._seq += 1
        self._has_new_name = True
        return segment

    def _make_segment(self) -> Segment:
        return Segment(self._directory, self._owner, self._segment_bytes)

    def _rotate(self, segment: Segment) -> Segment:
        """The next segment; the old one again when there is none, as long as it holds."""
        following = self._take_next() if segment.size or segment.is_broken else None
        if following is None:
            if segment.is_broken:
                raise JournalUnavailable
            return segment
        if failpoints.ARMED:
            failpoints.reach("segment-published")
        self._segment = following
        self._retired.append(segment)
        self._wake.set()
        return following

    def _told_full(self, error: OSError) -> None:
        if not self._is_full:
            log.error("The journal has no room: %s. New requests are refused.", error.strerror)
        self._is_full = True

    def _run(self) -> None:
        house_at = 0.0
        while not self._is_closing:
            if clock.monotonic() >= house_at:
                self._keep_house()
                house_at = clock.monotonic() + _HOUSE_S
            self._wake.wait(self._sync_interval_s)
            self._wake.clear()
            self._sync()
            if self._spare is None and not self._is_full:
                house_at = 0.0
        self._try_again()
        self._sync()

    def _sync(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters, []
            retired, self._retired = self._retired, []
            segment = self._segment
            has_new_name, self._has_new_name = self._has_new_name, False
        is_durable = segment is not None
        try:
            for old in retired:
                is_durable &= old.seal()
            if has_new_name:
                sync_directory(self._directory)
        except OSError:
            is_durable = False
            log.exception("The journal folder was not forced to disk.")
        if segment is not None and not segment.sync():
            is_durable = False
            self._leave(segment)
        self.sync_failures += not is_durable and segment is not None
        _tell(waiters, is_durable)

    def _leave(self, segment: Segment) -> None:
        """A failed fdatasync is never repeated on the same file: go on in another."""
        with self._lock, contextlib.suppress(JournalUnavailable):
            if self._segment is segment:
                self._rotate(segment)

    def _keep_house(self) -> None:
        """Have the next segment ready and know how much space new requests may take."""
        with self._lock:
            before = self._headroom
        allowed = self._cap_bytes - bytes_in(self._directory)
        with self._lock:
            self._headroom = allowed - (before - self._headroom)
            if self._headroom <= 0:
                self._leave_full()
            needs_spare = self._spare is None
        other = None
        if needs_spare:
            try:
                spare = self._make_segment()
            except OSError as error:
                with self._lock:
                    self._told_full(error)
                return
            with self._lock:
                self._spare, other = spare, self._spare
        if other is not None:
            other.discard()
        self._try_again()

    def _leave_full(self) -> None:
        """At the cap: what is in the present segment can only go away once it is left, and no new
        request would ever fill it."""
        segment = self._segment
        if segment is not None and segment.size:
            with contextlib.suppress(JournalUnavailable):
                self._rotate(segment)

    def _try_again(self) -> None:
        """There is a segment to write to. After a failure what is owed comes first; where nothing
        is, the next request tells whether the disk is well again."""
        with self._lock:
            if not self._is_full and not self._owed:
                return
            self._is_full = False
            with contextlib.suppress(JournalUnavailable):
                while self._owed:
                    self._write(self._owed[0])
                    del self._owed[0]
            if not self._is_full:
                log.warning("The journal can be written again.")

    def _forget(self) -> None:
        """In a forked child: the files and the thread belong to the parent."""
        for segment in (self._segment, self._spare, *self._retired):
            if segment is not None:
                with contextlib.suppress(OSError):
                    os.close(segment.fd)
        self._reset()


def _written(segment: Segment, data: bytes) -> bool:
    """Write all or nothing; False: nothing. A tail that cannot be cut breaks the segment."""
    try:
        count = os.write(segment.fd, data)
        if count == len(data):
            segment.size += count
            return True
        reason = "it was cut short"
    except OSError as error:
        reason = error.strerror or "unknown"
    log.error("A write to the journal segment %s failed: %s.", segment.path.name, reason)
    try:
        os.ftruncate(segment.fd, segment.size)
    except OSError:
        segment.is_broken = True
    return False


def _tell(waiters: list[asyncio.Future[None]], is_durable: bool) -> None:
    loops = {waiter.get_loop() for waiter in waiters}
    for loop in loops:
        mine = [waiter for waiter in waiters if waiter.get_loop() is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, mine, is_durable)


def _resolve(waiters: list[asyncio.Future[None]], is_durable: bool) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if is_durable:
            waiter.set_result(None)
        else:
            waiter.set_exception(JournalUnavailable())


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _forget_all() -> None:
    for journal in list(_open_journals):
        journal._forget()
    _open_journals.clear()


os.register_at_fork(after_in_child=_forget_all)
