"""Rows that are old enough go: whole partitions on PostgreSQL, small batches elsewhere.

The ledger is never touched, nor are the hourly sums: bills and reports outlive the request log.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import transaction
from django.db.models import Model, QuerySet

from apps.billing import budget_windows, quota_history
from apps.usage import partitions
from apps.usage.models import Attempt, KeptSince, RequestLog
from apps.usage.partitions import Progress
from chatvault.lib import clock

Subject = KeptSince.Subject

_MODELS: Final[dict[Subject, type[Model]]] = {
    Subject.REQUESTS: RequestLog,
    Subject.ATTEMPTS: Attempt,
}


class Removed(msgspec.Struct):
    """What one run took away."""

    partitions: list[str] = []
    rows: int = 0


def apply(*, now: datetime | None = None, progress: Progress | None = None) -> Removed:
    """Remove what the settings no longer keep.

    Doing it twice changes nothing; what an error or a kill interrupts, the next call goes on
    with: first it is noted from when on rows are complete, and only then are older ones removed.
    """
    days = {
        Subject.REQUESTS: settings.CHATVAULT.retention.request_days,
        Subject.ATTEMPTS: settings.CHATVAULT.retention.attempt_days,
    }
    today = (now or clock.now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    removed = Removed()
    for subject, kept_days in days.items():
        if kept_days:
            _remove(subject, today - timedelta(days=kept_days), removed, progress)
    quota_history.forget(before=today - quota_history.KEPT)
    return removed


def kept_since(subject: Subject = Subject.REQUESTS) -> datetime | None:
    """From when on all rows are there; None: since the beginning."""
    return KeptSince.of(subject)


def _remove(
    subject: Subject, before: datetime, removed: Removed, progress: Progress | None
) -> None:
    before = _note(subject, before)
    model = _MODELS[subject]
    removed.partitions += partitions.drop(
        model._meta.db_table, before=before.date(), progress=progress
    )
    removed.rows += _delete(model._default_manager.filter(started_at__lt=before), progress)


def _note(subject: Subject, before: datetime) -> datetime:
    """Move the mark, never back. Whoever recomputes sums holds the same lock: it has either
    finished with the old hours or leaves them alone."""
    with transaction.atomic():
        budget_windows.lock()
        kept, is_new = KeptSince.objects.get_or_create(subject=subject, defaults={"since": before})
        if not is_new and kept.since < before:
            kept.since = before
            kept.save(update_fields=["since"])
    return kept.since


def _delete(old: QuerySet[Any], progress: Progress | None) -> int:
    """Batch by batch, each a transaction of its own, so that no writer waits for long."""
    size = settings.CHATVAULT.retention.batch_rows
    total = old.count() if progress is not None else 0
    done = 0
    while keys := list(old.order_by("started_at").values_list("pk", flat=True)[:size]):
        old.filter(pk__in=keys).delete()
        done += len(keys)
        if progress is not None:
            progress(done, max(total, done))
    return done
