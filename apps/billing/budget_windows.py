"""What budgets have spent in their periods: derived from the ledger, kept as running sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple, cast

from django.db import connection
from django.db.models import Q, QuerySet, Sum

from apps.billing.limits.contract import Period
from apps.billing.limits.windows import period_bounds
from apps.billing.models import Budget, BudgetWindow, Counter, LedgerEntry

LOCK_KEY: Final = 0x43_56_4C_45_44  # one writer of derived sums at a time, on PostgreSQL
_LAST_S: Final = 253_402_300_799  # the end of the year 9999: what a date can hold


class Charge(NamedTuple):
    """What one request added to the budgets of whom and what it concerns; 0 and "": of none."""

    team_id: int
    client_id: int
    key_id: int
    at_s: int
    nano_usd: int
    user_id: int = 0
    alias: str = ""
    provider_id: int = 0
    tags: tuple[tuple[str, str], ...] = ()


class Scope(NamedTuple):
    """A budget without what may be edited."""

    budget_id: int
    team_id: int | None
    client_id: int | None
    key_id: int | None
    period: Period


class Booked(NamedTuple):
    """What a window has spent after the booking of this number; a higher one knows more."""

    budget_id: int
    start_s: int
    settled_nano: int
    booking: int


class Window(NamedTuple):
    """One period of one budget; half-open, epoch seconds."""

    scope: Scope
    start_s: int
    end_s: int


def lock() -> None:
    """Keep other writers of derived sums out until the transaction ends.

    SQLite has one writer anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])


def book(charges: Iterable[Charge], now: datetime) -> list[Booked]:
    """Add charges to the windows they fall in; returns those windows as they are now. The ledger
    must have their entries already, because a window that is new is summed from it."""
    charges = list(charges)
    sums: dict[tuple[Scope, int], int] = defaultdict(int)
    scopes = _by_scope(_concerned(charges))
    for charge in charges:
        for key in (
            ("team", charge.team_id),
            ("client", charge.client_id),
            ("key", charge.key_id),
        ):
            for scope in scopes.get(key, ()):
                start_s, _ = period_bounds(scope.period, charge.at_s)
                sums[scope, start_s] += charge.nano_usd
    if not sums:
        return []
    booking = Counter.step(Counter.Name.BOOKING)
    _add(sums, booking, now)
    return booked((scope.budget_id, start_s) for scope, start_s in sums)


def scopes_of(budget_ids: Iterable[int] | None = None) -> list[Scope]:
    """All budgets, or these."""
    budgets = Budget.objects.all()
    if budget_ids is not None:
        budgets = budgets.filter(pk__in=list(budget_ids))
    return _scopes(budgets)


def window_of(scope: Scope, at_s: int) -> Window:
    return Window(scope, *period_bounds(scope.period, at_s))


def spent(window: Window) -> int:
    """What the ledger says of a window, without its running sum."""
    entries = LedgerEntry.objects.filter(account=LedgerEntry.Account.CLIENT)
    scope = window.scope
    if scope.team_id is not None:
        entries = entries.filter(team_id=scope.team_id)
    elif scope.client_id is not None:
        entries = entries.filter(client_id=scope.client_id)
    elif scope.key_id is not None:
        entries = entries.filter(key_id=scope.key_id)
    entries = entries.filter(booked_at__gte=instant(window.start_s))
    if window.end_s <= _LAST_S:
        entries = entries.filter(booked_at__lt=instant(window.end_s))
    return -cast(int, entries.aggregate(total=Sum("amount_nano", default=0))["total"])


def booked(windows: Iterable[tuple[int, int]]) -> list[Booked]:
    """What the rows of these windows (budget id, start) say; those without a row are left out."""
    wanted = set(windows)
    rows = BudgetWindow.objects.filter(
        budget_id__in={budget_id for budget_id, _ in wanted},
        starts_at__in={instant(start_s) for _, start_s in wanted},
    ).values_list("budget_id", "starts_at", "settled_nano", "booking")
    found = [Booked(one, int(at.timestamp()), nano, number) for one, at, nano, number in rows]
    return [row for row in found if row[:2] in wanted]


def instant(at_s: int) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def _concerned(charges: list[Charge]) -> list[Scope]:
    budgets = Budget.objects.filter(
        Q(team_id__in={charge.team_id for charge in charges})
        | Q(client_id__in={charge.client_id for charge in charges})
        | Q(key_id__in={charge.key_id for charge in charges})
    )
    return _scopes(budgets)


def _scopes(budgets: QuerySet[Budget]) -> list[Scope]:
    columns = ("pk", "team_id", "client_id", "key_id", "period")
    return [Scope(*row) for row in budgets.order_by("pk").values_list(*columns)]


def _by_scope(scopes: list[Scope]) -> dict[tuple[str, int], list[Scope]]:
    found: dict[tuple[str, int], list[Scope]] = defaultdict(list)
    for scope in scopes:
        for kind, owner_id in (
            ("team", scope.team_id),
            ("client", scope.client_id),
            ("key", scope.key_id),
        ):
            if owner_id is not None:
                found[kind, owner_id].append(scope)
    return found


def _add(sums: dict[tuple[Scope, int], int], booking: int, now: datetime) -> None:
    known = set(
        BudgetWindow.objects.filter(
            budget_id__in={scope.budget_id for scope, _ in sums},
            starts_at__in={instant(start_s) for _, start_s in sums},
        ).values_list("budget_id", "starts_at")
    )

    def adapt(at: datetime) -> str:
        return cast(str, connection.ops.adapt_datetimefield_value(at))

    updates: list[tuple[int | str, ...]] = []
    for (scope, start_s), nano_usd in sorted(sums.items()):
        starts_at = instant(start_s)
        if (scope.budget_id, starts_at) in known:
            updates.append((nano_usd, booking, adapt(now), scope.budget_id, adapt(starts_at)))
            continue
        total = spent(window_of(scope, start_s))
        BudgetWindow.objects.create(
            budget_id=scope.budget_id, starts_at=starts_at, settled_nano=total, booking=booking
        )
    with connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE billing_budgetwindow SET settled_nano = settled_nano + %s, booking = %s, "
            "updated_at = %s WHERE budget_id = %s AND starts_at = %s",
            updates,
        )
