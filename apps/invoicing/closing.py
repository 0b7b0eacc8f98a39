"""The monthly close: what is checked before the books of a month are locked, and the lock.

Late rows of a closed month are booked in it all the same, since they are charges; statements take
them, and every later correction, over as credit notes of the open month.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction

from apps.audit import trail
from apps.billing import budget_windows
from apps.billing.models import ClosedPeriod
from apps.configuration import job_queue
from apps.invoicing.errors import InvoicingError
from apps.invoicing.models import Bill, BillAdjustment, MonthClose
from apps.invoicing.months import Month, beginning_of
from apps.invoicing.reconcile import is_drift
from apps.usage.journal_health import journal_health
from apps.usage.models import OpenIntent, RequestLog
from apps.usage.open_requests import OpenRequests
from apps.usage.verify import verify
from chatvault.lib import clock
from chatvault.lib.money import format_usd

LEDGER: Final = "ledger"
OPEN: Final = "open_requests"
LATE: Final = "late_rows"
ADJUSTING: Final = "adjustments"
FRESH: Final = timedelta(hours=1)
_State = MonthClose.State


class Check(msgspec.Struct, frozen=True):
    """One thing that has to be so. What may be waived is waived with a reason."""

    name: str
    title: str
    is_ok: bool
    told: str
    may_be_waived: bool = True


def begin(*, month: Month, author: str) -> MonthClose:
    """Have the month checked. Raises InvoicingError when it is not over, or is being closed."""
    if clock.now() < month.ends_at:
        raise InvoicingError(f"{month} is not over yet.")
    try:
        with transaction.atomic():
            row = MonthClose.objects.create(
                month=month.day,
                starts_at=month.starts_at,
                ends_at=month.ends_at,
                author_name=author[:150],
            )
            trail.record("monthclose.begun", target=row)
            _send(row)
    except IntegrityError:
        raise InvoicingError(f"{month} is closed already, or is being closed.") from None
    return row


@transaction.atomic
def check_again(*, row: MonthClose) -> None:
    """Raises InvoicingError for one that is closed or over."""
    states = (_State.BLOCKED, _State.READY, _State.CHECKING)
    if not MonthClose.objects.filter(pk=row.pk, state__in=states).update(state=_State.CHECKING):
        raise InvoicingError("It is not open any more.")
    trail.record("monthclose.checked_again", target=row)
    _send(row)


def check(row: MonthClose, progress: Callable[[int, int], None]) -> None:
    """Run every check and keep what it found."""
    if row.state != _State.CHECKING:
        return
    found = []
    for count, one in enumerate(_checks(row), start=1):
        found.append(one)
        progress(count, max(count, 5))
    row.checks = [msgspec.to_builtins(one) for one in found]
    row.checked_at = clock.now()
    row.state = _State.BLOCKED if left_of(row) else _State.READY
    names = {"checks": row.checks, "checked_at": row.checked_at, "state": row.state}
    MonthClose.objects.filter(pk=row.pk, state=_State.CHECKING).update(**names)
    progress(len(found), len(found))


def left_of(row: MonthClose) -> list[str]:
    """Titles of what stands in the way: neither right nor waived."""
    return [
        one["title"]
        for one in row.checks
        if not one["is_ok"] and not (one["may_be_waived"] and one["name"] in row.waivers)
    ]


@transaction.atomic
def waive(*, row: MonthClose, name: str, reason: str, author: str) -> None:
    """Let one check not stand in the way. Raises InvoicingError."""
    row = MonthClose.objects.select_for_update().get(pk=row.pk)
    one = next((each for each in row.checks if each["name"] == name), None)
    if one is None or one["is_ok"] or row.state not in (_State.BLOCKED, _State.READY):
        raise InvoicingError("There is nothing to waive.")
    if not one["may_be_waived"]:
        raise InvoicingError(f"{one['title']}: this cannot be waived.")
    if not reason.strip():
        raise InvoicingError("Say why: the reason is kept with the close.")
    row.waivers[name] = {"reason": reason.strip()[:300], "by": author[:150]}
    row.state = _State.BLOCKED if left_of(row) else _State.READY
    row.save(update_fields=["waivers", "state"])
    trail.record("monthclose.waived", target=row, after={"check": name, "reason": reason[:300]})


@transaction.atomic
def close(*, row: MonthClose, author: str) -> None:
    """Lock the month: from now on nothing is booked into it. Raises InvoicingError."""
    budget_windows.lock()  # whoever books holds it, too
    row = MonthClose.objects.select_for_update().get(pk=row.pk)
    if row.state != _State.READY or row.checked_at is None:
        raise InvoicingError("The month is not ready: " + ("; ".join(left_of(row)) or row.state))
    if clock.now() - row.checked_at > FRESH:
        raise InvoicingError("The checks are older than an hour: check again.")
    if not _adjusting(row).is_ok:
        raise InvoicingError("An adjustment to a bill is being booked: wait for it.")
    ClosedPeriod.objects.create(
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        author_name=author[:150],
        reason=f"monthly close {row.pk}",
    )
    row.state, row.closed_at, row.closed_by = _State.CLOSED, clock.now(), author[:150]
    row.save(update_fields=["state", "closed_at", "closed_by"])
    trail.record("monthclose.closed", target=row, after={"waivers": row.waivers})


@transaction.atomic
def reopen(*, row: MonthClose, reason: str, author: str) -> None:
    """Unlock the month; the caller has seen to it that an owner asks. Raises InvoicingError."""
    if not reason.strip():
        raise InvoicingError("Say why: the reason is kept with the close.")
    budget_windows.lock()
    row = MonthClose.objects.select_for_update().get(pk=row.pk)
    if row.state != _State.CLOSED:
        raise InvoicingError("Only a closed month is reopened.")
    ClosedPeriod.objects.filter(team_id=None, starts_at=row.starts_at, ends_at=row.ends_at).delete()
    row.state, row.reopened_at, row.reopened_by = _State.REOPENED, clock.now(), author[:150]
    row.reason = reason.strip()[:255]
    row.save(update_fields=["state", "reopened_at", "reopened_by", "reason"])
    trail.record("monthclose.reopened", target=row, after={"reason": row.reason})


@transaction.atomic
def give_up(*, row: MonthClose) -> None:
    """Raises InvoicingError for one that is closed or over."""
    states = (_State.BLOCKED, _State.READY, _State.CHECKING)
    if not MonthClose.objects.filter(pk=row.pk, state__in=states).update(state=_State.GIVEN_UP):
        raise InvoicingError("It is not open any more.")
    trail.record("monthclose.given_up", target=row)


def _send(row: MonthClose) -> None:
    job_queue.enqueue("check-month", "apps.invoicing.tasks.check_month", {"close_id": row.pk})


def _checks(row: MonthClose) -> Iterator[Check]:
    yield _late_rows(row)
    yield _open_requests(row)
    yield _adjusting(row)
    yield from _bills(row)
    yield _ledger()


def _ledger() -> Check:
    wrong = [f"{each.name}: {each.differences}" for each in verify() if each.differences]
    told = "; ".join(wrong) or "Requests, ledger, sums and budgets agree."
    return Check(LEDGER, "The ledger is proven", not wrong, told, may_be_waived=False)


def _open_requests(row: MonthClose) -> Check:
    """Requests of the month that were begun and never settled."""
    known = OpenRequests()
    for owner, record in OpenIntent.objects.values_list("owner", "record"):
        known.restore(owner, bytes(record))
    start_ms, end_ms = (int(at.timestamp() * 1000) for at in (row.starts_at, row.ends_at))
    count = sum(
        start_ms <= request.intent.at_ms < end_ms
        for owner in known.owners()
        for request in known.of_owner(owner)
    )
    told = f"{count} requests of the month are not settled." if count else "All are settled."
    return Check(OPEN, "No request is open", not count, told)


def _late_rows(row: MonthClose) -> Check:
    health = journal_health(settings.CHATVAULT.journal_dir)
    waiting = health.unshipped_bytes or 0
    problem = health.problem
    if not problem and waiting:
        problem = f"{waiting:,} bytes of journals are not in the database yet."
    return Check(
        LATE, "No late rows are awaited", not problem, problem or "Every journal was read."
    )


def _adjusting(row: MonthClose) -> Check:
    unfinished = BillAdjustment.objects.filter(
        state__in=(BillAdjustment.State.BOOKING, BillAdjustment.State.UNDOING)
    )
    names = [str(each) for each in unfinished.select_related("bill")[:3]]
    told = f"Unfinished: {', '.join(names)}." if names else "None is being booked."
    title = "No adjustment is half booked"
    return Check(ADJUSTING, title, not names, told, may_be_waived=False)


def _bills(row: MonthClose) -> Iterator[Check]:
    """Each provider that cost something in the month has accepted bills that agree."""
    rows = RequestLog.objects.filter(
        started_at__gte=row.starts_at, started_at__lt=row.ends_at, cost_nano__gt=0
    )
    names = rows.exclude(provider_name="").order_by().values_list("provider_name", flat=True)
    for name in sorted(set(names.distinct())):
        told = _told_of_bills(row, name)
        yield Check(
            f"bill:{name}"[:120],
            f"{name} is reconciled",
            not told,
            told or "Its bills cover the month and agree with our cost.",
        )


def _told_of_bills(row: MonthClose, name: str) -> str:
    """What is wrong; empty when nothing is."""
    zone = settings.CHATVAULT.invoicing.zone
    first = row.starts_at.astimezone(zone).date()
    last = (row.ends_at - timedelta(seconds=1)).astimezone(zone).date()
    bills = Bill.objects.filter(
        provider_name=name, state=Bill.State.COUNTED, starts_on__lte=last, ends_on__gte=first
    )
    covered: set[Any] = set()
    for bill in bills:
        assert bill.starts_on is not None and bill.ends_on is not None
        days = (bill.ends_on - bill.starts_on).days + 1
        covered |= {bill.starts_on + timedelta(days=number) for number in range(days)}
        if bill.compared_at is None:
            return f"Bill {bill.pk} was not compared yet."
        if is_drift(bill.matched_usd_nano, bill.cost_nano):
            return f"Bill {bill.pk} differs by {format_usd(bill.drift_nano, 2)}."
    if not bills:
        return "There is no accepted bill for the month."
    missing = [
        first + timedelta(days=number)
        for number in range((last - first).days + 1)
        if first + timedelta(days=number) not in covered
    ]
    busy = [day for day in missing if _was_used(name, day)]
    return f"No bill covers {busy[0]:%Y-%m-%d} and {len(busy) - 1} more days." if busy else ""


def _was_used(name: str, day: Any) -> bool:
    zone = settings.CHATVAULT.invoicing.zone
    return RequestLog.objects.filter(
        provider_name=name,
        cost_nano__gt=0,
        started_at__gte=beginning_of(day, zone),
        started_at__lt=beginning_of(day + timedelta(days=1), zone),
    ).exists()
