"""The life of a repricing: dry run, approval, undoing. Each step leaves an audit event."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.db import transaction

from apps.accounts.models import User
from apps.audit import trail
from apps.billing import budget_windows, ledger
from apps.billing.models import LedgerEntry
from apps.configuration import job_queue
from apps.repricing import dry_run
from apps.repricing.errors import RepricingRefused
from apps.repricing.models import RepricedRequest, Repricing
from chatvault.lib import clock

State = Repricing.State
CHECK_JOB: Final = "check-repricing"
BOOK_JOB: Final = "book-repricing"
UNDO_JOB: Final = "undo-repricing"
_TASKS: Final = {
    CHECK_JOB: "apps.repricing.tasks.check",
    BOOK_JOB: "apps.repricing.tasks.book",
    UNDO_JOB: "apps.repricing.tasks.undo",
}


@transaction.atomic
def begin(repricing: Repricing, *, author: User | None, author_name: str) -> Repricing:
    """Save a new one and start its dry run."""
    repricing.author, repricing.author_name = author, author_name[:150]
    repricing.state = State.CHECKING
    repricing.save()
    trail.record("repricing.started", target=repricing, after=_asked(repricing))
    _start(CHECK_JOB, repricing)
    return repricing


@transaction.atomic
def check_again(repricing: Repricing) -> None:
    """A new dry run over what there is now. Raises RepricingRefused once it is approved."""
    _move(repricing, (State.CHECKED, State.CHECKING), State.CHECKING)
    trail.record("repricing.checked_again", target=repricing)
    _start(CHECK_JOB, repricing)


@transaction.atomic
def withdraw(repricing: Repricing) -> None:
    """Give it up before anything is booked."""
    _move(repricing, (State.CHECKED, State.CHECKING), State.WITHDRAWN)
    RepricedRequest.objects.filter(repricing=repricing).delete()
    trail.record("repricing.withdrawn", target=repricing)


@transaction.atomic
def approve(repricing: Repricing, *, approver: User | None, approver_name: str) -> None:
    """Book what the dry run found, by a job.

    Raises RepricingRefused when it is the author's own and two people are wanted, when anything
    has changed since the dry run, or when it reaches into closed books and is no credit note.
    """
    budget_windows.lock()
    _check_person(repricing, approver)
    repricing.refresh_from_db()
    if repricing.state != State.CHECKED:
        raise RepricingRefused(f"It is not waiting for approval: {repricing.get_state_display()}.")
    if not repricing.count("changed"):
        raise RepricingRefused("Nothing would change, so there is nothing to approve.")
    _check_others(repricing)
    _check_closed(repricing)
    if dry_run.is_stale(repricing):
        raise RepricingRefused(
            "Requests, corrections or prices have changed since the dry run. Run it again and "
            "look at it before you approve."
        )
    _move(
        repricing, (State.CHECKED,), State.APPROVED,
        approver_name=approver_name[:150], approved_at=clock.now(), trouble="",
    )  # fmt: skip
    trail.record("repricing.approved", target=repricing, after=_figures(repricing))
    _start(BOOK_JOB, repricing)


@transaction.atomic
def undo(repricing: Repricing, *, undoer_name: str) -> None:
    """Book the opposite of every entry, by a job.

    Raises RepricingRefused while another booked repricing stands on its amounts.
    """
    budget_windows.lock()
    later = _standing_on(repricing)
    if later:
        raise RepricingRefused(
            f"Repricing {later[0]} was booked on top of it. Undo {later[0]} first."
        )
    _move(
        repricing, (State.BOOKED,), State.UNDOING,
        undoer_name=undoer_name[:150], undo_dated_at=_undo_date(repricing), trouble="",
    )  # fmt: skip
    trail.record("repricing.undone", target=repricing, after=_figures(repricing))
    _start(UNDO_JOB, repricing)


@transaction.atomic
def go_on(repricing: Repricing) -> None:
    """Start the job again that stopped; what it has booked it passes over."""
    jobs = {State.CHECKING: CHECK_JOB, State.APPROVED: BOOK_JOB, State.UNDOING: UNDO_JOB}
    name = jobs.get(State(repricing.state))
    if name is None:
        raise RepricingRefused("Nothing of it is under way.")
    trail.record("repricing.went_on", target=repricing)
    _start(name, repricing)


def needs_second_person() -> bool:
    return bool(settings.CHATVAULT.billing.second_person)


def _check_person(repricing: Repricing, approver: User | None) -> None:
    if not needs_second_person():
        return
    if approver is None or approver.pk == repricing.author_id:
        raise RepricingRefused(
            "Somebody else than its author has to approve it (CHATVAULT_BILLING_SECOND_PERSON)."
        )


def _check_others(repricing: Repricing) -> None:
    near = Repricing.objects.overlapping(repricing.starts_at, repricing.ends_at)
    other = near.moving().exclude(pk=repricing.pk).first()
    if other is not None:
        raise RepricingRefused(f"Repricing {other.pk} of the same time is being booked. Wait.")


def _check_closed(repricing: Repricing) -> None:
    """Of any team: what a dry run looked at is not asked again request by request."""
    if repricing.as_credit_note:
        return
    closed = ledger.closed_within(repricing.starts_at, repricing.ends_at)
    teams = set(repricing.lines.filter(changed__gt=0).values_list("team_id", flat=True))
    mine = [period for period in closed if period.team_id is None or period.team_id in teams]
    if mine:
        raise RepricingRefused(
            f"The books of {mine[0]} are closed. Make it a credit note, which is dated now, or "
            "leave the closed time out of the range."
        )


def _standing_on(repricing: Repricing) -> list[int]:
    mine = LedgerEntry.objects.filter(batch_id=repricing.batch_id).values("request_id")
    later = Repricing.objects.filter(
        state__in=(State.APPROVED, State.BOOKED, State.UNDOING),
        approved_at__gt=repricing.approved_at or clock.now(),
    ).overlapping(repricing.starts_at, repricing.ends_at)
    return [
        one.pk for one in later.order_by("pk") if one.requests.filter(request_id__in=mine).exists()
    ]


def _undo_date(repricing: Repricing) -> Any:
    """None: each opposite entry counts when its entry did. Books that were closed since take only
    what is dated now."""
    if repricing.as_credit_note:
        at = repricing.approved_at or clock.now()
        is_closed = any(period.starts_at <= at for period in ledger.closed_within(at, clock.now()))
        return clock.now() if is_closed else at
    closed = ledger.closed_within(repricing.starts_at, repricing.ends_at)
    return clock.now() if closed else None


def _move(repricing: Repricing, old: tuple[State, ...], new: State, **values: Any) -> None:
    """One statement, so that of two people one is told no."""
    rows = Repricing.objects.filter(pk=repricing.pk, state__in=old)
    if not rows.update(state=new, **values):
        repricing.refresh_from_db()
        raise RepricingRefused(f"That cannot be done now: {repricing.get_state_display()}.")
    repricing.refresh_from_db()


def _start(name: str, repricing: Repricing) -> None:
    job_queue.enqueue(name, _TASKS[name], {"repricing_id": repricing.pk})


def _asked(repricing: Repricing) -> dict[str, Any]:
    names = (
        "reason", "starts_at", "ends_at", "team_id", "client_id", "alias", "model",
        "provider_name", "basis", "prices_at", "as_credit_note",
    )  # fmt: skip
    asked = {name: getattr(repricing, name) for name in names}
    asked |= {"book": repricing.book_id, "terms": repricing.terms_id}
    return {name: str(value) for name, value in asked.items() if value not in (None, "")}


def _figures(repricing: Repricing) -> dict[str, Any]:
    return {
        "requests": repricing.count("changed"),
        "cost_delta_nano": repricing.cost_delta_nano,
        "charged_delta_nano": repricing.charged_delta_nano,
    }
