"""Proves on a live system that rows, ledger, rollups and budgets tell the same story.

Sums are made by the database; here are never more than the groups of one hour or the rows of one
chunk, however many requests there are. Apps above add their checks with `register`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from apps.billing import budget_windows
from apps.billing.models import BudgetWindow, LedgerEntry
from apps.usage import (
    verify_days,
    verify_entries,
    verify_formula,
    verify_journal,
    verify_rollups,
)
from apps.usage.findings import EXAMPLES, Example, Finding, as_parameter
from apps.usage.models import KeptSince, RequestLog
from apps.usage.restore import one_view

__all__ = ["ALL", "Finding", "register", "verify"]

ALL: Final = -1
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
Check = Callable[[], Iterable[Finding]]
_further: Final[dict[str, Check]] = {}


def register(name: str, check: Check) -> None:
    """Let `check` find what else must hold, at the same instant as everything else."""
    _further[name] = check


def verify(
    *, formula: int = 0, progress: Callable[[int], None] = lambda done: None
) -> list[Finding]:
    """Every check, all at one instant of the database. Nothing is changed.

    `formula`: of how many requests the cost is computed again, spread over all there are; `ALL`
    for each. What is older than the request log is kept is compared within the ledger only.
    """
    found: list[Finding] = []
    with one_view():
        for finding in _findings(formula):
            found.append(finding)
            progress(len(found))
    return found


def _findings(formula: int) -> Iterator[Finding]:
    entries = LedgerEntry.objects.count()
    requests = RequestLog.objects.count()
    since = KeptSince.of(KeptSince.Subject.REQUESTS) or _EVER
    yield from verify_entries.findings(entries, requests, as_parameter(since))
    yield from verify_rollups.findings(since)
    yield from verify_days.findings(since)
    yield _windows()
    yield from verify_journal.findings()
    if formula:
        yield verify_formula.formula(formula, requests)
    for check in _further.values():
        yield from check()


def _windows() -> Finding:
    scopes = {scope.budget_id: scope for scope in budget_windows.scopes_of()}
    windows = BudgetWindow.objects.order_by("pk")
    examples: list[Example] = []
    count = wrong = 0
    for budget_id, starts_at, settled in windows.values_list(
        "budget_id", "starts_at", "settled_nano"
    ).iterator():
        count += 1
        window = budget_windows.window_of(scopes[budget_id], int(starts_at.timestamp()))
        right = budget_windows.spent(window)
        if right != settled:
            wrong += 1
            if wrong <= EXAMPLES:
                where = f"budget {budget_id} from {starts_at:%Y-%m-%d}"
                text = f"{where}: {settled} kept, {right} in the ledger"
                ref = f"{budget_id} {int(starts_at.timestamp())}"
                examples.append(Example(text, "budget", ref))
    return Finding("budget sums equal the ledger", count, wrong, examples, "budgets")
