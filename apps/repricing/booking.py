"""Books what was approved, and its opposite: once each, however often a worker is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from django.db.models import Case, F, Sum, When

from apps.audit import trail
from apps.billing import ledger
from apps.billing.ledger import Correction
from apps.billing.models import LedgerEntry
from apps.repricing.models import RepricedRequest, Repricing
from chatvault.lib import clock

State = Repricing.State
_READ: Final = 2000
Progress = Callable[[int, int | None], None]


def book(repricing: Repricing, progress: Progress) -> None:
    """Book the adjustments of an approved repricing. Raises what `adjust_many` raises."""
    total = RepricedRequest.objects.filter(repricing=repricing).count()
    ledger.adjust_many(
        _approved(repricing),
        batch_id=repricing.batch_id,
        author=repricing.approver_name or repricing.author_name or "repricing",
        reason=f"{repricing.reason} (repricing {repricing.pk})"[:255],
        booked_at=repricing.approved_at if repricing.as_credit_note else None,
        progress=lambda done: progress(done, total),
    )
    _end(repricing, State.APPROVED, State.BOOKED, "booked_at")
    progress(total, total)


def undo(repricing: Repricing, progress: Progress) -> None:
    """Book the opposite of each entry of the batch."""
    batch = LedgerEntry.objects.filter(batch_id=repricing.batch_id)
    total = batch.order_by().values("request_id").distinct().count()
    ledger.adjust_many(
        _opposite(repricing),
        batch_id=repricing.undo_batch_id,
        author=repricing.undoer_name or "repricing",
        reason=f"undo of repricing {repricing.pk}: {repricing.reason}"[:255],
        booked_at=repricing.undo_dated_at,
        progress=lambda done: progress(done, total),
    )
    _end(repricing, State.UNDOING, State.UNDONE, "undone_at")
    progress(total, total)


def _approved(repricing: Repricing) -> Iterator[Correction]:
    last = 0
    rows = RepricedRequest.objects.filter(repricing=repricing).order_by("pk")
    while some := list(rows.filter(pk__gt=last)[:_READ]):
        for row in some:
            yield Correction(
                row.request_id,
                row.charged_after_nano - row.charged_before_nano,
                row.cost_after_nano - row.cost_before_nano,
            )
        last = some[-1].pk


def _opposite(repricing: Repricing) -> Iterator[Correction]:
    """From what was booked, by request id."""
    account = LedgerEntry.Account

    def of(name: str) -> Sum:
        return Sum(Case(When(account=name, then=F("amount_nano")), default=0))

    sums = LedgerEntry.objects.filter(batch_id=repricing.batch_id).order_by()
    rows = sums.values("request_id").annotate(
        client=of(account.CLIENT), provider=of(account.PROVIDER)
    )
    last = None
    while True:
        left = rows if last is None else rows.filter(request_id__gt=last)
        some = list(left.order_by("request_id")[:_READ])
        if not some:
            return
        for row in some:
            yield Correction(row["request_id"], int(row["client"]), -int(row["provider"]))
        last = some[-1]["request_id"]


def _end(repricing: Repricing, old: State, new: State, at: str) -> None:
    rows = Repricing.objects.filter(pk=repricing.pk, state=old)
    if rows.update(state=new, trouble="", **{at: clock.now()}):
        repricing.refresh_from_db()
        trail.record(f"repricing.{new}", target=repricing)
