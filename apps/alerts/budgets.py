"""Budgets that reached a line: each line is told once a window, the highest alone where several
were passed at once, and again after a raise or a credit brought the budget below it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from apps.alerts import services
from apps.alerts.models import BudgetLines, BudgetWatch
from apps.billing import budget_windows
from apps.billing.budget_use import BudgetUse, uses_of
from apps.billing.budget_windows import instant
from apps.billing.models import Budget
from apps.billing.words import short_usd
from chatvault.lib.money import format_usd, usd_from_nano

TOPIC: Final = "budget.threshold"
MOST_LINES: Final = 10
_AT_ONCE: Final = 500
_LAST_S: Final = 253_402_300_799  # the end of the year 9999: there is no end
_MARGIN: Final = timedelta(days=1)  # clocks of two workers around the end of a window


class Window(NamedTuple):
    """`ends_at` None: never."""

    starts_at: datetime
    ends_at: datetime | None


def look(now: datetime) -> int:
    """Tell of the lines that were reached since the last look; how many."""
    budgets = Budget.objects.filter(is_active=True, amount_nano__gt=0).order_by("pk")
    rows = list(budgets.select_related("team", "client", "key__client"))
    return sum(_look_at(rows[at : at + _AT_ONCE], now) for at in range(0, len(rows), _AT_ONCE))


def lines_of(budgets: Sequence[Budget]) -> dict[int, tuple[int, ...]]:
    """Percent by budget, ascending: its own lines, or those of the installation. One query."""
    own = BudgetLines.objects.filter(budget__in=[budget.pk for budget in budgets])
    found = {budget_id: tuple(each) for budget_id, each in own.values_list("budget_id", "percents")}
    default: tuple[int, ...] = settings.CHATVAULT.alerts.lines
    return {budget.pk: found.get(budget.pk, default) for budget in budgets}


def percents_of(text: str) -> list[int]:
    """Lines as people write them, `50, 80, 100`. Raises ValueError with what is wrong."""
    parts = [part.strip().removesuffix("%").strip() for part in text.split(",")]
    given = [part for part in parts if part]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 1000 for part in given):
        raise ValueError("Write whole percents between 1 and 1000 with commas: 50, 80, 100.")
    found = sorted({int(part) for part in given})
    if not 0 < len(found) <= MOST_LINES:
        raise ValueError(f"Write between one and {MOST_LINES} lines.")
    return found


def windows_of(budgets: Sequence[Budget], now: datetime) -> dict[int, Window]:
    """By budget. A rolling one has no beginning, so that its lines are not armed by the clock."""
    found = {}
    for scope in budget_windows.scopes_of(budget.pk for budget in budgets):
        window = budget_windows.window_of(scope, int(now.timestamp()))
        if str(scope.period).startswith("rolling"):
            found[scope.budget_id] = Window(instant(0), None)
        else:
            end = instant(window.end_s) if window.end_s < _LAST_S else None
            found[scope.budget_id] = Window(instant(window.start_s), end)
    return found


def window_of(budget: Budget, now: datetime) -> Window:
    return windows_of([budget], now)[budget.pk]


def _look_at(budgets: Sequence[Budget], now: datetime) -> int:
    uses = uses_of(budgets, now)
    lines, windows = lines_of(budgets), windows_of(budgets, now)
    known = BudgetWatch.objects.in_bulk([budget.pk for budget in budgets])
    told = 0
    for budget in budgets:
        use, window = uses[budget.pk], windows[budget.pk]
        line = reached(use, lines[budget.pk])
        watch = known.get(budget.pk)
        if watch is None and not line:
            continue
        if watch is not None and (watch.starts_at, watch.percent) == (window.starts_at, line):
            continue
        told += _move(budget, use, window, line)
    return told


def reached(use: BudgetUse, lines: Sequence[int]) -> int:
    """The highest line that what is spent has come to; 0: none."""
    passed = [line for line in lines if use.spent_nano * 100 >= line * use.amount_nano]
    return max(passed, default=0)


@transaction.atomic
def _move(budget: Budget, use: BudgetUse, window: Window, line: int) -> bool:
    """Whether it was told; of two workers one changes the row."""
    watch, _ = BudgetWatch.objects.get_or_create(
        budget_id=budget.pk, defaults={"starts_at": window.starts_at}
    )
    is_same = watch.starts_at == window.starts_at
    before = watch.percent if is_same else 0
    rearmed = watch.rearmed + (line < before) if is_same else 0
    unchanged = BudgetWatch.objects.filter(
        pk=watch.pk, starts_at=watch.starts_at, percent=watch.percent, rearmed=watch.rearmed
    )
    moved = unchanged.update(starts_at=window.starts_at, percent=line, rearmed=rearmed)
    if not moved or line <= before:
        return False
    _tell(budget, use, window, line, rearmed)
    return True


def _tell(budget: Budget, use: BudgetUse, window: Window, line: int, rearmed: int) -> None:
    start = window.starts_at.strftime("%Y-%m-%dT%H:%MZ")
    again = f":{rearmed}" if rearmed else ""
    percent = use.spent_nano * 100 // use.amount_nano
    kind, name = _scope_of(budget)
    services.tell(
        TOPIC,
        key=f"budget:{budget.pk}:{start}:{line}{again}",
        title=f"{line} % of the budget of {kind} {name} is spent",
        text=_text(budget, use, window, percent),
        team_id=team_id_of(budget),
        facts={
            "budget": budget.pk,
            "scope": kind,
            "name": name,
            "line_percent": line,
            "share_percent": percent,
            "spent_usd": _usd(use.spent_nano),
            "amount_usd": _usd(use.amount_nano),
            "period": budget.period,
            "from": start,
            "until": window.ends_at.strftime("%Y-%m-%dT%H:%MZ") if window.ends_at else "",
            "spent_nano": use.spent_nano,
            "amount_nano": use.amount_nano,
        },
        until=window.ends_at + _MARGIN if window.ends_at else None,
        link=reverse("admin:billing_budget_change", args=[budget.pk]),
    )


def _text(budget: Budget, use: BudgetUse, window: Window, percent: int) -> str:
    kind, name = _scope_of(budget)
    spent = f"{short_usd(use.spent_nano)} of {format_usd(use.amount_nano)} ({percent} %)"
    text = f"The {kind} {name} has spent {spent}."
    if window.ends_at:
        text += f" The budget runs until {window.ends_at:%Y-%m-%d %H:%M} UTC."
    if use.spent_nano >= use.amount_nano:
        text += " Further requests are refused until the amount is raised"
        text += " or the next period begins." if window.ends_at else "."
    return text


def team_id_of(budget: Budget) -> int | None:
    """Whose people may read of it; None: the installation's alone."""
    return budget.team_id_of


def _scope_of(budget: Budget) -> tuple[str, str]:
    return budget.kind, str(budget.scope)


def _usd(nano: int) -> str:
    return f"{usd_from_nano(nano).normalize():f}"
