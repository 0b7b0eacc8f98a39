"""Adjust to invoice: our cost of each day and model becomes what the provider billed.

Only the cost side moves, and the margin with it; what clients were charged stays. What is booked is
fixed when the adjustment is made: amounts by day and model, and the last request and entry that
they were reckoned from. A run that was stopped is therefore finished by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet, Sum

from apps.audit import trail
from apps.billing import budget_windows, ledger
from apps.billing.models import ClosedPeriod, LedgerEntry
from apps.configuration import job_queue
from apps.invoicing import ours, reconcile
from apps.invoicing.errors import InvoicingError
from apps.invoicing.models import Bill, BillAdjustment, BillAdjustmentLine, BillMatch
from apps.invoicing.months import beginning_of
from apps.invoicing.shares import spread
from apps.usage.models import RequestLog
from chatvault.lib import clock

NO_REQUEST: Final = "no request of ours to carry it"
NOT_BILLED: Final = "the bill does not name it"
_State = BillAdjustment.State
_AT_ONCE: Final = 500


def begin(*, bill: Bill, reason: str, author: str, with_unbilled: bool = False) -> BillAdjustment:
    """Fix what is to be booked, and have it booked. `with_unbilled`: what the bill does not name at
    all cost nothing. Raises InvoicingError."""
    if not reason.strip():
        raise InvoicingError("Say why: the reason is kept with every entry.")
    try:
        with transaction.atomic():
            budget_windows.lock()  # nobody books beside this: the last ids are the last
            matches = reconcile.compare(bill)
            if names := reconcile.unknown_models(bill):
                raise InvoicingError(
                    f"The bill names models that are not known: {', '.join(names[:5])}. Add match "
                    "rules first, so that nothing is adjusted to half a bill."
                )
            made = _make(bill, reason.strip(), author)
            lines = [_line(made, match, with_unbilled) for match in matches if match.drift_nano]
            moved = [line for line in lines if not line.unmatched]
            if not moved:
                raise InvoicingError("There is nothing to adjust: our cost is what was billed.")
            BillAdjustmentLine.objects.bulk_create(lines, batch_size=1_000)
            made.amount_nano = sum(line.delta_nano for line in moved)
            made.save(update_fields=["amount_nano"])
            told = {"bill": bill.pk, "amount_nano": made.amount_nano, "reason": made.reason}
            trail.record("bill.adjusted", target=bill, after=told)
            _send(made)
    except IntegrityError:
        raise InvoicingError("The bill was adjusted already: undo that first.") from None
    return made


def _make(bill: Bill, reason: str, author: str) -> BillAdjustment:
    last = bill.adjustments.aggregate(last=Max("number"))["last"] or 0
    return BillAdjustment.objects.create(
        bill=bill,
        number=last + 1,
        reason=reason[:200],
        author_name=author[:150],
        through_entry=LedgerEntry.objects.aggregate(last=Max("pk"))["last"] or 0,
        through_request=RequestLog.objects.aggregate(last=Max("pk"))["last"] or 0,
        amount_nano=0,
    )


def _line(made: BillAdjustment, match: BillMatch, with_unbilled: bool) -> BillAdjustmentLine:
    target = max(match.billed_nano, 0)  # a credit is no cost below nothing
    why = ""
    if not match.requests:
        why = NO_REQUEST
    elif not match.billed_nano and not with_unbilled:
        why = NOT_BILLED
    return BillAdjustmentLine(
        adjustment=made,
        day=match.day,
        model=match.model,
        delta_nano=target - match.cost_nano,
        requests=match.requests,
        dated_at=clock.now() if _touches_closed(made.bill, match) else None,
        unmatched=why,
    )


def _touches_closed(bill: Bill, match: BillMatch) -> bool:
    zone = ZoneInfo(bill.time_zone)
    first = beginning_of(match.day, zone)
    last = beginning_of(match.day + timedelta(days=1), zone)
    return bool(ledger.closed_within(first, last))


def book(made: BillAdjustment, progress: Callable[[int, int], None]) -> None:
    """Book what is not booked yet. Raises ValueError or PeriodClosed when a request has changed
    meanwhile in a way that does not allow it; what was booked stays, and can be undone."""
    if made.state != _State.BOOKING:
        return
    lines = list(made.lines.filter(unmatched=""))
    total = sum(line.requests for line in lines)
    done = 0
    for line in lines:
        ledger.adjust_many(
            _corrections(made, line),
            batch_id=made.batch_id,
            author=made.author_name,
            reason=f"adjusted to bill {made.bill_id}: {made.reason}",
            booked_at=line.dated_at,
        )
        done += line.requests
        progress(min(done, total), total)
    booked = _entries(made.batch_id).aggregate(total=Sum("amount_nano"))["total"] or 0
    if booked != made.amount_nano:
        raise InvoicingError(f"Booked were {booked} of {made.amount_nano} nano-USD.")
    _end(made, _State.BOOKED, "bill.adjustment_booked")
    made.requests = _entries(made.batch_id).count()
    made.save(update_fields=["requests"])
    reconcile.compare(made.bill)


def _corrections(made: BillAdjustment, line: BillAdjustmentLine) -> Iterator[ledger.Correction]:
    """Shares of the day's new cost by what each request cost; by tokens where none cost."""
    rows = list(
        ours.requests_of(
            made.bill,
            line.day,
            line.model,
            through_request=made.through_request,
            through_entry=made.through_entry,
        )
    )
    costs = [row.cost_nano for row in rows]
    weights = costs if any(costs) else [row.tokens for row in rows]
    for row, share in zip(rows, spread(sum(costs) + line.delta_nano, weights), strict=True):
        if share != row.cost_nano:
            yield ledger.Correction(row.request_id, cost_delta=share - row.cost_nano)


@transaction.atomic
def begin_undo(*, made: BillAdjustment, author: str) -> None:
    """Have the opposite of every entry booked. Raises InvoicingError."""
    states = (_State.BOOKED, _State.BOOKING)
    values = {"state": _State.UNDOING, "undone_by": author[:150], "problem": ""}
    if not BillAdjustment.objects.filter(pk=made.pk, state__in=states).update(**values):
        raise InvoicingError("It is undone already, or is being undone.")
    trail.record("bill.adjustment_undone", target=made.bill, after={"adjustment": made.number})
    _send(made, "undo-bill-adjustment")


def undo(made: BillAdjustment, progress: Callable[[int, int], None]) -> None:
    """Raises ValueError before anything is booked when a later correction leaves too little cost to
    take back."""
    if made.state != _State.UNDOING:
        return
    _check_undo(made)
    total = _entries(made.batch_id).count()
    closed = list(ClosedPeriod.objects.all())
    for is_dated in (False, True):
        ledger.adjust_many(
            _opposites(made, closed, is_dated),
            batch_id=made.undo_batch_id,
            author=made.undone_by,
            reason=f"adjustment {made.number} to bill {made.bill_id} undone",
            booked_at=clock.now() if is_dated else None,
            progress=lambda done: progress(min(done, total), total),
        )
    _end(made, _State.UNDONE, "bill.adjustment_taken_back")
    if made.bill.state == Bill.State.COUNTED:
        reconcile.compare(made.bill)


def _entries(batch_id: str) -> QuerySet[LedgerEntry]:
    return LedgerEntry.objects.filter(
        batch_id=batch_id, account=LedgerEntry.Account.PROVIDER
    ).order_by("pk")


def _opposites(
    made: BillAdjustment, closed: list[ClosedPeriod], is_dated: bool
) -> Iterator[ledger.Correction]:
    """Those of requests whose books are closed by now, or the others."""
    dated = set(made.lines.exclude(dated_at=None).values_list("dated_at", flat=True))
    for entry in _entries(made.batch_id).iterator(chunk_size=2_000):
        late = entry.booked_at in dated or any(
            period.holds(entry.team_id, entry.booked_at) for period in closed
        )
        if late is is_dated:
            yield ledger.Correction(entry.request_id, cost_delta=-entry.amount_nano)


def _check_undo(made: BillAdjustment) -> None:
    waiting: dict[UUID, int] = {}
    for entry in _entries(made.batch_id).filter(amount_nano__gt=0).iterator(chunk_size=2_000):
        waiting[entry.request_id] = entry.amount_nano
        if len(waiting) == _AT_ONCE:
            _check_some(made, waiting)
            waiting = {}
    _check_some(made, waiting)


def _check_some(made: BillAdjustment, taken: dict[UUID, int]) -> None:
    rows = LedgerEntry.objects.filter(
        request_id__in=list(taken), account=LedgerEntry.Account.PROVIDER
    )
    undone = set(rows.filter(batch_id=made.undo_batch_id).values_list("request_id", flat=True))
    for row in rows.order_by().values("request_id").annotate(cost=Sum("amount_nano")):
        if row["request_id"] not in undone and row["cost"] < taken[row["request_id"]]:
            raise ValueError(
                f"Request {row['request_id']} was corrected after the adjustment and costs too "
                "little to take it back. Undo that correction first."
            )


def _end(made: BillAdjustment, state: BillAdjustment.State, action: str) -> None:
    with transaction.atomic():
        made.state, made.finished_at, made.problem = state, clock.now(), ""
        made.save(update_fields=["state", "finished_at", "problem"])
        trail.record(action, target=made.bill, after={"adjustment": made.number})


def resume(*, made: BillAdjustment) -> None:
    """Go on with one that was stopped. Raises InvoicingError."""
    if made.state not in (_State.BOOKING, _State.UNDOING):
        raise InvoicingError("There is nothing left to book of it.")
    with transaction.atomic():
        trail.record("bill.adjustment_resumed", target=made.bill, after={"number": made.number})
        name = "undo-bill-adjustment" if made.state == _State.UNDOING else "book-bill-adjustment"
        _send(made, name)


def _send(made: BillAdjustment, name: str = "book-bill-adjustment") -> None:
    task = f"apps.invoicing.tasks.{name.replace('-', '_')}"
    job_queue.enqueue(name, task, {"adjustment_id": made.pk})


def dated(made: BillAdjustment) -> datetime | None:
    """When the entries of closed days are dated; None: none is."""
    return made.lines.exclude(dated_at=None).values_list("dated_at", flat=True).first()
