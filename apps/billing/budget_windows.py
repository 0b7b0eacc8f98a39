"""What budgets have spent in their periods: derived from the ledger, kept as running sums."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, cast

from django.db import connection
from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import Exact

from apps.billing.limits.contract import Period
from apps.billing.limits.periods import earlier_blocks, period_bounds
from apps.billing.models import SCOPES, Budget, BudgetWindow, Counter, LedgerEntry

LOCK_KEY: Final = 0x43_56_4C_45_44  # one writer of derived sums at a time, on PostgreSQL
_LAST_S: Final = 253_402_300_799  # the end of the year 9999: what a date can hold


class Charge(NamedTuple):
    """What one request added to the budgets of whom and what it concerns; 0 and "": of none.
    Budgets of providers count what it cost, all others what was charged for it."""

    team_id: int
    client_id: int
    key_id: int
    at_s: int
    nano_usd: int
    user_id: int = 0
    alias: str = ""
    provider_id: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    cost_nano: int = 0


class Scope(NamedTuple):
    """A budget without what may be edited. `target` is an id, the name of an alias, or the text
    of a tag: see `targets_of`."""

    budget_id: int
    kind: str
    target: int | str
    period: Period
    created_s: int


def targets_of(charge: Charge) -> Iterator[tuple[str, int | str]]:
    """All whose budgets the charge counts in."""
    yield "team", charge.team_id
    yield "client", charge.client_id
    yield "key", charge.key_id
    if charge.user_id:
        yield "user", charge.user_id
    if charge.alias:
        yield "alias", charge.alias
    if charge.provider_id:
        yield "provider", charge.provider_id
    for key, value in charge.tags:
        yield "tag", f"{key}={value}"


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
        for target in targets_of(charge):
            for scope in scopes.get(target, ()):
                start_s, _ = period_bounds(scope.period, charge.at_s)
                sums[scope, start_s] += amount_of(charge, scope)
    if not sums:
        return []
    booking = Counter.step(Counter.Name.BOOKING)
    _add(sums, booking, now)
    return booked((scope.budget_id, start_s) for scope, start_s in sums)


def amount_of(charge: Charge, scope: Scope) -> int:
    """What a charge adds to a budget on that."""
    return charge.cost_nano if scope.kind == "provider" else charge.nano_usd


def scopes_of(budget_ids: Iterable[int] | None = None) -> list[Scope]:
    """All budgets, or these."""
    budgets = Budget.objects.all()
    if budget_ids is not None:
        budgets = budgets.filter(pk__in=list(budget_ids))
    return _scopes(budgets)


def window_of(scope: Scope, at_s: int) -> Window:
    """The window around that time; of a rolling budget, the block."""
    return Window(scope, *period_bounds(scope.period, at_s))


def windows_of(scope: Scope, at_s: int) -> list[Window]:
    """All windows that count at that time, oldest first: the one around it, and the earlier
    blocks of a rolling budget."""
    now = window_of(scope, at_s)
    starts = earlier_blocks(scope.period, now.start_s)
    return [*(window_of(scope, start_s) for start_s in starts), now]


def spent(window: Window) -> int:
    """What the ledger says of a window, without its running sum."""
    entries = LedgerEntry.objects.filter(within(window))
    total = cast(int, entries.aggregate(total=Sum("amount_nano", default=0))["total"])
    return signed(window.scope, total)


def signed(scope: Scope, total: int) -> int:
    """What entries that are `within` a window add up to, as money that was spent: the ledger takes
    it from clients and gives it to providers."""
    return total if scope.kind == "provider" else -total


def within(window: Window) -> Q:
    """Which entries of the ledger count in the window."""
    found = concerns(window.scope.kind, window.scope.target) & Q(account=account_of(window.scope))
    found &= Q(booked_at__gte=instant(window.start_s))
    return found & Q(booked_at__lt=instant(window.end_s)) if window.end_s <= _LAST_S else found


def account_of(scope: Scope) -> str:
    """Of the ledger: which entries are the money that this budget limits."""
    accounts = LedgerEntry.Account
    return accounts.PROVIDER if scope.kind == "provider" else accounts.CLIENT


def concerns(kind: str, target: int | str) -> Q:
    """Which entries of the ledger count in budgets on that."""
    if kind == "tag":
        key, _, value = str(target).partition("=")
        return Q(Exact(KeyTextTransform(key, "tags"), Value(value)))
    return Q(**{"alias" if kind == "alias" else f"{kind}_id": target})


def settled(windows: Collection[Window]) -> dict[tuple[int, int], Booked]:
    """What was spent in each, by budget and start: by its row, else by the ledger. A window
    that began after its budget was made has a row as soon as something is charged in it."""
    keys = [(window.scope.budget_id, window.start_s) for window in windows]
    found = {(row.budget_id, row.start_s): row for row in booked(keys)}
    for window in windows:
        key = (window.scope.budget_id, window.start_s)
        if key not in found:
            nano = 0 if window.start_s > window.scope.created_s else spent(window)
            found[key] = Booked(*key, nano, 0)
    return found


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
    wanted: dict[str, set[int | str]] = defaultdict(set)
    for charge in charges:
        for kind, target in targets_of(charge):
            wanted[kind].add(target)
    some = Q()
    for kind, targets in wanted.items():
        some |= Q(**{f"{_COLUMNS[kind]}__in": targets})
    return _scopes(Budget.objects.filter(some)) if charges else []


_COLUMNS: Final = {name: f"{name}_id" for name in SCOPES} | {"alias": "alias__name", "tag": "tag"}


def _scopes(budgets: QuerySet[Budget]) -> list[Scope]:
    return [scope_of(budget) for budget in budgets.select_related("alias").order_by("pk")]


def scope_of(budget: Budget, alias_names: Mapping[int, str] | None = None) -> Scope:
    """Of an alias its name is needed: load it along, or hand in the names."""
    kind = budget.kind
    target: int | str = budget.tag
    if budget.alias_id is not None and alias_names is not None:
        target = alias_names[budget.alias_id]
    elif kind != "tag":
        target = budget.alias.name if budget.alias else getattr(budget, f"{kind}_id")
    return Scope(budget.pk, kind, target, budget.shape, int(budget.created_at.timestamp()))


def _by_scope(scopes: list[Scope]) -> dict[tuple[str, int | str], list[Scope]]:
    found: dict[tuple[str, int | str], list[Scope]] = defaultdict(list)
    for scope in scopes:
        found[scope.kind, scope.target].append(scope)
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
