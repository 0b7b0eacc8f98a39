"""What a budget has spent in one window, computed anew from the ledger."""

from __future__ import annotations

from django.db import transaction

from apps.audit import trail
from apps.billing import budget_windows, shared_limits
from apps.billing.models import BudgetWindow, Counter
from chatvault.lib import clock


@transaction.atomic
def recompute(*, budget_id: int, start_s: int) -> tuple[int, int]:
    """Make the window say what the ledger says; returns what it said and says, in nano-USD.

    Safe on a live system: whoever books waits, and gateways hear the new sum. Raises
    BudgetWindow.DoesNotExist.
    """
    budget_windows.lock()
    starts_at = budget_windows.instant(start_s)
    row = BudgetWindow.objects.get(budget_id=budget_id, starts_at=starts_at)
    [scope] = budget_windows.scopes_of([budget_id])
    before, right = row.settled_nano, budget_windows.spent(budget_windows.window_of(scope, start_s))
    if before != right:
        row.settled_nano, row.updated_at = right, clock.now()
        row.booking = Counter.step(Counter.Name.BOOKING)
        row.save(update_fields=["settled_nano", "updated_at", "booking"])
        shared_limits.post_after_commit(budget_windows.booked([(budget_id, start_s)]))
    trail.record(
        "ledger.window_recomputed",
        target=row,
        before={"settled_nano": before},
        after={"settled_nano": right},
    )
    return before, right
