"""More money for a budget for a while: one asks, another approves."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from apps.accounts import permissions
from apps.accounts.principals import Principal
from apps.accounts.roles import Capability
from apps.audit import trail
from apps.billing import services
from apps.billing.models import BudgetRaise
from chatvault.lib import clock

State = BudgetRaise.State
DECISIONS: Final = {
    "approve": (State.ASKED, State.APPROVED),
    "decline": (State.ASKED, State.DECLINED),
    "end": (State.APPROVED, State.ENDED),
}
"""Each with the state that it needs and the one that it leads to."""


class RaiseRefused(Exception):
    """What was wanted of a raise cannot be done, and why."""


class NotYours(RaiseRefused):
    """Somebody else has to decide."""


@transaction.atomic
def ask(row: BudgetRaise) -> BudgetRaise:
    """Keep what is asked for. It changes nothing until somebody approves it."""
    row.state = State.ASKED
    row.save()
    _told("budget_raise.added", row, {})
    return row


def check(row: BudgetRaise, decision: str, *, by: Principal) -> None:
    """Raises NotYours where `by` may not decide: who decides may change the budget, and approves
    nothing that they asked for themselves, unless they may do everything. Who asked may take it
    back. Raises RaiseRefused where it is not in the state for that, or its time is over."""
    is_own = row.author_id == by.user_id if row.author_id else row.author_name == by.name
    is_taken_back = is_own and decision == "decline"
    if not is_taken_back and not permissions.may_touch(by, "change", row.budget):
        raise NotYours("Only who may change the budget decides this.")
    if row.state != DECISIONS[decision][0]:
        raise RaiseRefused(f"It is {row.get_state_display().lower()}, so that cannot be done.")
    if decision != "approve":
        return
    if is_own and not by.holds_all(Capability):
        raise NotYours("Somebody else than who asked for it has to approve it.")
    if row.ends_at <= clock.now():
        raise RaiseRefused("Its time is over: ask for another one.")


@transaction.atomic
def decide(row: BudgetRaise, decision: str, *, by: Principal) -> BudgetRaise:
    """An approved one holds from its beginning to its end, in every gateway by itself; one that is
    ended holds no more. Raises what `check` does."""
    check(row, decision, by=by)
    before, after = DECISIONS[decision]
    decided = BudgetRaise.objects.filter(pk=row.pk, state=before).update(
        state=after, approver_name=by.name[:200], decided_at=clock.now()
    )
    row.refresh_from_db()
    if not decided:
        raise RaiseRefused(f"It is {row.get_state_display().lower()} already.")
    _told(f"budget_raise.{after}", row, {"state": before}, decision=decision)
    services.limits_changed()
    return row


def _told(action: str, row: BudgetRaise, before: dict[str, Any], **more: str) -> None:
    after: dict[str, Any] = more | {
        "budget": row.budget_id,
        "extra_nano": row.extra_nano,
        "starts_at": row.starts_at.isoformat(),
        "ends_at": row.ends_at.isoformat(),
        "reason": row.reason,
        "state": row.state,
    }
    team_id = row.budget.team_id_of
    trail.record(action, target=row, before=before, after=after, team_id=team_id)
