from __future__ import annotations

from collections.abc import Callable

from apps.accounts.models import Team
from apps.configuration import jobs
from apps.configuration.job_errors import JobProblem
from apps.invoicing import (
    booking,
    closing,
    documents,
    importing,
    months,
    reconcile,
    statements,
)
from apps.invoicing.errors import InvoicingError
from apps.invoicing.models import Bill, BillAdjustment, MonthClose
from chatvault.lib.errors import ChatVaultError


@jobs.task("read-bill", unit="lines")
def read_bill(job: jobs.Job, bill_id: int) -> None:
    """Read a provider's bill into lines; a second time nothing happens."""
    bill = Bill.objects.select_related("file").filter(pk=bill_id).first()
    if bill is not None:
        importing.read(bill, job.progress)


@jobs.task("compare-bill", unit="days and models")
def compare_bill(job: jobs.Job, bill_id: int) -> None:
    """Set a bill beside our cost, again."""
    bill = Bill.objects.filter(pk=bill_id, state=Bill.State.COUNTED).first()
    if bill is not None:
        try:
            job.progress(len(reconcile.compare(bill)))
        except ChatVaultError as refused:
            raise JobProblem(refused.message) from None


@jobs.task("compare-bills", unit="bills")
def compare_bills(job: jobs.Job) -> None:
    """Set every accepted bill that drifted, or is new, beside our cost again."""
    wanted = list(Bill.objects.filter(state=Bill.State.COUNTED).order_by("-pk")[:100])
    for count, bill in enumerate(wanted):
        job.progress(count, len(wanted))
        try:
            reconcile.compare(bill)
        except InvoicingError:  # its requests are no longer kept: it stays as it was compared
            continue
    job.progress(len(wanted), len(wanted))


@jobs.task("book-bill-adjustment", unit="requests")
def book_bill_adjustment(job: jobs.Job, adjustment_id: int) -> None:
    """Book an adjustment to a bill; what is booked already is passed over."""
    _booked(job, adjustment_id, booking.book)


@jobs.task("undo-bill-adjustment", unit="requests")
def undo_bill_adjustment(job: jobs.Job, adjustment_id: int) -> None:
    """Book the opposite of an adjustment; what is undone already is passed over."""
    _booked(job, adjustment_id, booking.undo)


def _booked(job: jobs.Job, adjustment_id: int, work: Callable[..., None]) -> None:
    made = BillAdjustment.objects.select_related("bill__provider").filter(pk=adjustment_id).first()
    if made is None:
        return
    try:
        work(made, job.progress)
    except (ValueError, ChatVaultError) as refused:
        BillAdjustment.objects.filter(pk=made.pk).update(problem=str(refused)[:500])
        raise JobProblem(str(refused)) from None


@jobs.task("check-month", unit="checks")
def check_month(job: jobs.Job, close_id: int) -> None:
    """Look whether a month can be closed."""
    row = MonthClose.objects.filter(pk=close_id).first()
    if row is not None:
        closing.check(row, job.progress)


@jobs.task("issue-statements", unit="teams")
def issue_statements(job: jobs.Job, month: str, currency: str, author: str) -> None:
    """Issue the month's statement of every team that has none yet."""
    documents.prepare()
    wanted = months.read(month)
    known = Team.objects.values_list("pk", flat=True)
    teams = Team.objects.in_bulk(statements.pending(known, wanted))
    problems = []
    for count, team in enumerate(sorted(teams.values(), key=lambda each: each.name)):
        job.progress(count, len(teams))
        try:
            statements.issue(team=team, month=wanted, author=author, currency=currency)
        except ChatVaultError as refused:
            problems.append(f"{team}: {refused.message}")
    job.progress(len(teams), len(teams))
    if problems:
        raise JobProblem(f"{len(problems)} were not issued. {' '.join(problems[:3])}")
