"""Proves on a live system that rows, ledger, rollups and budgets tell the same story."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from django.db import connection
from django.db.models import F, Sum
from django.db.models.functions import Coalesce, TruncHour

from apps.billing import budget_windows
from apps.billing.models import BudgetWindow, LedgerEntry
from apps.usage.models import HourlyRollup, KeptSince, RequestLog
from apps.usage.restore import one_view
from apps.usage.rollups import GROUP, SUMS

EXAMPLES = 5
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Finding(msgspec.Struct, frozen=True):
    """One thing that must hold: its figure, and examples of where it does not."""

    name: str
    checked: int
    differences: int
    examples: list[str]


def verify() -> list[Finding]:
    """Every check, all at one instant of the database. Nothing is changed.

    What is older than the request log is kept is compared within the ledger only.
    """
    with one_view():
        return list(_findings())


def _findings() -> Iterator[Finding]:
    entries = LedgerEntry.objects.count()
    requests = RequestLog.objects.count()
    yield _by_query("entries of a request and number sum to zero", entries, _UNBALANCED)
    since = KeptSince.of(KeptSince.Subject.REQUESTS) or _EVER
    bound = str(connection.ops.adapt_datetimefield_value(since))
    yield _by_query("every request has its charge", requests, _UNCHARGED)
    yield _by_query("every charge has its request", entries, _UNKNOWN, bound)
    yield _by_query("no request is charged less than nothing", requests, _CREDITED)
    yield _rollups(since)
    yield _windows()


_UNBALANCED = (
    "SELECT request_id, number, SUM(amount_nano) FROM billing_ledgerentry "
    "GROUP BY request_id, number HAVING SUM(amount_nano) <> 0"
)
_UNCHARGED = (
    "SELECT r.request_id, r.charged_nano, l.amount_nano FROM usage_requestlog r "
    "LEFT JOIN billing_ledgerentry l ON l.request_id = r.request_id "
    "AND l.number = 0 AND l.account = 'client' "
    "WHERE l.id IS NULL OR l.amount_nano <> -r.charged_nano "
    "OR l.team_id <> r.team_id OR l.client_id <> r.client_id OR l.key_id <> r.key_id "
    "OR l.booked_at <> r.started_at"
)
_UNKNOWN = (
    "SELECT l.request_id, l.number, l.amount_nano FROM billing_ledgerentry l "
    "LEFT JOIN usage_requestlog r ON r.request_id = l.request_id "
    "WHERE r.id IS NULL AND l.booked_at >= %s"
)
_CREDITED = (
    "SELECT request_id, SUM(amount_nano), COUNT(*) FROM billing_ledgerentry "
    "WHERE account = 'client' GROUP BY request_id HAVING SUM(amount_nano) > 0"
)


def _by_query(name: str, checked: int, statement: str, *values: str) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        wrong = cursor.fetchall()
    return Finding(name, checked, len(wrong), [_told(row) for row in wrong[:EXAMPLES]])


def _rollups(since: datetime) -> Finding:
    sums = {f"sum_{name}": total for name, total in SUMS.items()}
    rows = _totals(
        RequestLog.objects.filter(started_at__gte=since)
        .order_by()
        .values(*GROUP, at=TruncHour("started_at"), place=Coalesce(F("deployment_id"), 0))
        .annotate(**sums)
    )
    kept = _totals(
        HourlyRollup.objects.filter(hour__gte=since)
        .order_by()
        .values(*GROUP, at=F("hour"), place=F("deployment_id"))
        .annotate(**{f"sum_{name}": Sum(name) for name in SUMS})
    )
    wrong = [group for group in rows.keys() | kept.keys() if rows.get(group) != kept.get(group)]
    examples = [
        f"{group[0]:%Y-%m-%d %H}h, {group[1:]}: {kept.get(group)} kept, {rows.get(group)} in rows"
        for group in sorted(wrong)[:EXAMPLES]
    ]
    return Finding("rollups equal the rows of their hour", len(rows), len(wrong), examples)


def _totals(groups: Any) -> dict[tuple[Any, ...], tuple[int, ...]]:
    return {
        (group["at"], *(group[name] for name in GROUP), group["place"]): tuple(
            int(group[f"sum_{name}"]) for name in SUMS
        )
        for group in groups
    }


def _windows() -> Finding:
    scopes = {scope.budget_id: scope for scope in budget_windows.scopes_of()}
    windows = BudgetWindow.objects.order_by("pk")
    examples: list[str] = []
    count = wrong = 0
    for budget_id, starts_at, settled in windows.values_list(
        "budget_id", "starts_at", "settled_nano"
    ):
        count += 1
        window = budget_windows.window_of(scopes[budget_id], int(starts_at.timestamp()))
        right = budget_windows.spent(window)
        if right != settled:
            wrong += 1
            where = f"budget {budget_id} from {starts_at:%Y-%m-%d}"
            examples.append(f"{where}: {settled} kept, {right} in the ledger")
    return Finding("budget sums equal the ledger", count, wrong, examples[:EXAMPLES])


def _told(row: tuple[Any, ...]) -> str:
    return ", ".join(str(value) for value in row)
