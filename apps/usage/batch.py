"""One transaction of ingest: everything that follows from a batch of records, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
from django.db import connection, transaction

from apps.accounts import key_use
from apps.billing import budget_windows, quota_history
from apps.billing.budget_windows import Booked, Charge
from apps.billing.ledger import LATE_SETTLEMENT, LedgerRow, Parties, as_text, late_entries
from apps.billing.models import LedgerEntry
from apps.usage import day_sums, error_groups, rows, store, sums
from apps.usage.models import JournalCursor, OpenIntent, RequestLog
from apps.usage.names import Names
from apps.usage.open_requests import Closed, OpenRequest
from apps.usage.records import Settle, Tally
from apps.usage.segments import stored_owner
from chatvault.lib import clock, failpoints

LATE_REASON = "settled after the interruption"


class Progressed(msgspec.Struct):
    """How far a segment is read with this batch."""

    path: Path
    offset: int
    is_finished: bool
    torn_bytes: int
    bad_records: int


class Batch(msgspec.Struct):
    """What was read and is not in the database yet."""

    closed: list[Closed] = []
    unmatched: list[Settle] = []  # settlements of requests that are not open
    tallies: list[Tally] = []
    segments: list[Progressed] = []
    to_store: list[OpenRequest] = []  # still open at the end of a segment that goes away
    dead_owners: list[str] = []  # all of theirs is settled with this batch
    records: int = 0

    def __bool__(self) -> bool:
        return bool(self.segments or self.closed or self.unmatched or self.dead_owners)


class Committed(msgspec.Struct, frozen=True):
    """What a commit leaves to be done: settlements that belong to no known request, and what the
    budgets that it touched have spent now."""

    orphans: list[Settle]
    windows: list[Booked]
    errors: error_groups.Cause | None  # a request that failed, where errors were booked


def commit(batch: Batch, *, journal_id: str, names: Names) -> Committed:
    """Book a batch; booking it again changes nothing.

    Raises django.db.Error, having booked nothing, or with an unknown outcome when the connection
    broke at the commit.
    """
    now = clock.now()
    with _durable_if(any(segment.is_finished for segment in batch.segments)), transaction.atomic():
        budget_windows.lock()
        charges, booked = _book_closed(batch.closed, names, as_text(now))
        errors = error_groups.book(booked, batch.tallies, names)
        for tally in batch.tallies:
            quota_history.add(tally.at_ms, [msgspec.structs.astuple(row) for row in tally.quotas])
        late, orphans = _book_late(batch.unmatched, as_text(now))
        windows = budget_windows.book(charges + late, now)
        used = key_use.due(_last_uses(booked))
        key_use.book(used)
        _keep_open(batch, journal_id)
        _move_cursors(batch.segments, now)
        if failpoints.ARMED:
            failpoints.reach("batch-inserted")
    key_use.written(used)
    if failpoints.ARMED:
        failpoints.reach("batch-committed")
    return Committed(orphans, windows, errors)


@contextmanager
def _durable_if(is_wanted: bool) -> Iterator[None]:
    """SQLite's commits outlive a power cut only when asked to; a file that goes away after
    the commit needs one that does, and it carries the earlier ones along."""
    if not is_wanted or connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=FULL")
        try:
            yield
        finally:
            cursor.execute("PRAGMA synchronous=NORMAL")


def _book_closed(
    closed: list[Closed], names: Names, created_at: str
) -> tuple[list[Charge], list[tuple[Closed, rows.RequestRow]]]:
    """What budgets are charged, and the requests that were not booked before."""
    names.load(closed)
    made = [(one, rows.request_row(one, names)) for one in closed]
    entries = {row.request_id: rows.ledger_rows(row, created_at) for _, row in made}
    new = store.insert_charges([charge for charge, *_ in entries.values()])
    fresh: list[tuple[Closed, rows.RequestRow]] = []
    for one, row in made:
        if row.request_id in new:
            new.discard(row.request_id)  # a batch may hold a request twice
            fresh.append((one, row))
    store.insert([row for _, row in fresh])
    store.insert([row for one, _ in fresh for row in rows.attempt_rows(one.request, names)])
    store.insert([entry for _, row in fresh for entry in entries[row.request_id][1:]])
    intents = [one.request.intent for one, _ in fresh]
    added = [
        sums.Added(row, intent.at_ms, intent.tags)
        for (_, row), intent in zip(fresh, intents, strict=True)
    ]
    store.add_sums(sums.of(added))
    charges = [rows.charge_of(row, intent) for (_, row), intent in zip(fresh, intents, strict=True)]
    return charges, fresh


def _last_uses(booked: list[tuple[Closed, rows.RequestRow]]) -> dict[int, datetime]:
    """By key: when the last of these requests began."""
    latest: dict[int, int] = {}
    for one, row in booked:
        at_ms = one.request.intent.at_ms
        latest[row.key_id] = max(at_ms, latest.get(row.key_id, at_ms))
    return {key: datetime.fromtimestamp(ms / 1000, UTC) for key, ms in latest.items()}


def _book_late(settles: list[Settle], created_at: str) -> tuple[list[Charge], list[Settle]]:
    """Adjust requests that had been booked as interrupted, each once."""
    if not settles:
        return [], []
    ids = [UUID(bytes=settle.request_id) for settle in settles]
    booked = {row.request_id: row for row in RequestLog.objects.filter(request_id__in=ids)}
    adjusted = _adjusted(ids)
    charges: list[Charge] = []
    entries: list[LedgerRow] = []
    orphans: list[Settle] = []
    changed: list[datetime] = []
    for request_id, settle in zip(ids, settles, strict=True):
        row = booked.get(request_id)
        if row is None:
            orphans.append(settle)
            continue
        was_interrupted = row.outcome == RequestLog.Outcome.INTERRUPTED
        if not was_interrupted or settle.outcome == "interrupted" or request_id in adjusted:
            continue
        adjusted.add(request_id)
        delta = settle.charged_nano - row.charged_nano
        changed.append(row.started_at)
        entries += late_entries(
            _parties(row),
            cost_delta=settle.cost_nano - row.cost_nano,
            charged_delta=delta,
            created_at=created_at,
            reason=LATE_REASON,
        )
        charges.append(_charge(row, delta, settle.cost_nano - row.cost_nano))
    store.insert(entries)
    day_sums.forget(changed)
    return charges, orphans


def _adjusted(ids: Iterable[UUID]) -> set[UUID]:
    entries = LedgerEntry.objects.filter(request_id__in=list(ids), number=LATE_SETTLEMENT)
    return set(entries.values_list("request_id", flat=True))


def _parties(row: RequestLog) -> Parties:
    return Parties(
        row.request_id.hex,
        row.client_id,
        row.team_id,
        row.key_id,
        row.provider_name,
        as_text(row.started_at),
        row.user_id,
        row.alias,
        row.provider_id,
        None if row.tags is None else msgspec.json.encode(row.tags).decode(),
    )


def _charge(row: RequestLog, nano_usd: int, cost_nano: int) -> Charge:
    return Charge(
        row.team_id,
        row.client_id,
        row.key_id,
        int(row.started_at.timestamp()),
        nano_usd,
        row.user_id or 0,
        row.alias,
        row.provider_id or 0,
        tuple((row.tags or {}).items()),
        cost_nano,
    )


def _keep_open(batch: Batch, journal_id: str) -> None:
    """Requests that are still open move to the database, since their segment goes away."""
    done = [
        UUID(bytes=one.request.intent.request_id) for one in batch.closed if one.request.is_stored
    ]
    if done:
        OpenIntent.objects.filter(request_id__in=done).delete()
    OpenIntent.objects.bulk_create(
        [
            OpenIntent(
                request_id=UUID(bytes=request.intent.request_id),
                owner=stored_owner(journal_id, request.owner),
                record=request.to_bytes(),
            )
            for request in batch.to_store
        ],
        update_conflicts=True,
        unique_fields=["request_id"],
        update_fields=["owner", "record"],
    )


def _move_cursors(segments: list[Progressed], now: datetime) -> None:
    JournalCursor.objects.bulk_create(
        [
            JournalCursor(
                segment=segment.path.name,
                offset=segment.offset,
                is_finished=segment.is_finished,
                torn_bytes=min(segment.torn_bytes, 2**31 - 1),
                bad_records=segment.bad_records,
                updated_at=now,
            )
            for segment in segments
        ],
        update_conflicts=True,
        unique_fields=["segment"],
        update_fields=["offset", "is_finished", "torn_bytes", "bad_records", "updated_at"],
    )
